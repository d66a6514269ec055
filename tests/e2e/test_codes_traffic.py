"""Random traffic at two services: a code proves what it was sent for, and meets no guess too many.

The provider is in this process and knows what each code was sent for. All clocks but the wall's run
ten times as fast, so that codes die within the test.
"""

import logging
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Thread, local

import pytest
import urllib3
from werkzeug.serving import make_server

from otpservice.app import create_app
from otpservice.config.settings import Settings
from otpservice.store.client import connect
from otpservice.store.verifications import RedisStore
from otpservice.verification.digest import Digester
from otpservice.verification.errors import OutcomeUnknown, ProviderUnavailable
from tests.conftest import KEYS, SECRET
from tests.contract.codes import Provider, SentCode

SECONDS = 6  # of the wall's clock, for each kind of provider
SPEED = 10
TIMEOUT = 30  # seconds of the fast clock in which a call to the provider ends
MAX_ATTEMPTS = 3
CALLERS = 16
PHONES = [f"+22507090{n:05}" for n in range(100)]
AT_A_TIME = 4  # phones that all callers meet at, and then go on to others
OWNERS = [("portal", "login"), ("portal", "two-factor"), ("shop", "login")]
OPEN = {
    "code_ttl": "60",
    "max_attempts": str(MAX_ATTEMPTS),
    "provider_timeout": str(TIMEOUT),
    "resend_after": "0",
    "phone_send_quota": "",
    "prefix_send_quota": "",
    "lockout_failures": "100",
    "lockout_total": "0",
    "phone_rate_limit": "100000/minute",
    "app_rate_limit": "100000/minute",
}


class FastClock:
    """Seconds that go by ``SPEED`` times as fast as the wall's, from the same moment."""

    def __init__(self):
        self.began = time.time()

    def now(self):
        return self.began + SPEED * (time.time() - self.began)

    @property
    def ahead(self):
        return (SPEED - 1) * (time.time() - self.began)


class FastStore(RedisStore):
    """The store by the fast clock. It notes when each reservation was asked for."""

    reserved = local()

    def __init__(self, clock, *args):
        self.clock = clock
        super().__init__(*args)

    def reserve_send(self, *args):
        self.reserved.at = self.clock.now()
        return super().reserve_send(*args)

    def reserve_attempt(self, *args):
        self.reserved.at = self.clock.now()
        return super().reserve_attempt(*args)


class FaultyRoute:
    """Does what a route does: at once or slowly; or refuses; or loses the answer."""

    def __init__(self, name, provider, clock, chance):
        self.name, self.provider, self.clock, self.chance = name, provider, clock, chance

    def ask(self, act):
        """Do it, unless the call has taken so long that the real one had ended."""
        fault = self.chance.choices(
            ["", "slow", "refused", "lost", "done and lost"], [6, 4, 2, 1, 1]
        )[0]
        if fault:
            time.sleep(self.chance.uniform(0, TIMEOUT / SPEED / 12))
        if fault == "refused":
            raise ProviderUnavailable
        if fault == "lost" or self.clock.now() > FastStore.reserved.at + TIMEOUT:
            raise OutcomeUnknown
        answer = act()
        if fault == "done and lost":
            raise OutcomeUnknown
        return answer


class Hosted(FaultyRoute):
    def send(self, message):
        to, id = message.phone.e164, message.id
        return self.ask(lambda: self.provider.make(to, id, -(-message.ttl // 60)).digits)

    def check(self, phone, code):
        self.ask(lambda: self.provider.compare(phone.e164, code.digits))


class Text(FaultyRoute):
    def send(self, message):
        code = SentCode(message.code.digits, message.phone.e164, message.id)
        return self.ask(lambda: self.provider.note(code).digits)


@contextmanager
def two_services(environment, valkey_url, provider, clock, chance, routes):
    """Two of them, on sockets of their own, over one Redis; gives their addresses."""
    changes = {"redis_url": valkey_url, "routes": routes, **OPEN}
    settings = Settings.from_env(
        {**environment, **{f"OTPSERVICE_{name.upper()}": text for name, text in changes.items()}}
    )
    with ExitStack() as stack:
        stores, urls = [], []
        for _ in range(2):
            redis = stack.enter_context(connect(valkey_url))
            stores.append(FastStore(clock, redis, Digester([SECRET]), settings.policy))
            by_name = {
                "vavasms-otp": Hosted("vavasms-otp", provider, clock, chance),
                "vavasms-text": Text("vavasms-text", provider, clock, chance),
            }
            app = create_app(settings, redis=redis, store=stores[-1], routes=by_name)
            server = make_server("127.0.0.1", 0, app, threaded=True)
            serving = Thread(target=server.serve_forever)
            serving.start()
            stack.callback(serving.join)
            stack.callback(server.shutdown)
            urls.append(f"http://127.0.0.1:{server.server_port}")
        winding = Thread(target=wind, args=(clock, stores))
        winding.start()
        yield urls
        winding.join()


def wind(clock, stores):
    """Set the stores' clocks forward until the traffic is over."""
    while time.time() < clock.began + SECONDS + 1:
        for store in stores:
            store.clock_offset = int(clock.ahead * 1000)
        time.sleep(0.01)


class Caller:
    """One of many who ask, guess and cancel at random about a few phones."""

    ids: dict[str, list[tuple[str, str]]]

    def __init__(self, urls, provider, seed, ids):
        self.urls, self.provider, self.ids = urls, provider, ids
        self.chance = random.Random(seed)
        self.began = time.time()
        self.http = urllib3.PoolManager(retries=False, timeout=30)
        self.approved, self.canceled, self.outcomes = [], set(), Counter()

    def run(self, until):
        while time.time() < until:
            app, purpose = self.chance.choice(OWNERS)
            phone = PHONES[self.first_of_now() + self.chance.randrange(AT_A_TIME)]
            act = self.chance.choices([self.start, self.guess, self.cancel], [3, 6, 1])[0]
            act(app, purpose, phone)
        self.http.clear()
        return self

    def first_of_now(self):
        """Some phones are asked about all the time, so codes die; others for half a second."""
        return self.chance.choice([0, int(10 * (time.time() - self.began))])

    def call(self, app, method, path, body=None):
        headers = {"Authorization": f"Bearer {KEYS[app]}"}
        url = self.chance.choice(self.urls) + path
        answer = self.http.request(method, url, json=body, headers=headers)
        said = answer.json() if answer.data else {}
        self.outcomes[f"{path.split('/')[1]} {said.get('code') or answer.status}"] += 1
        return answer.status, said

    def start(self, app, purpose, phone):
        status, body = self.call(app, "POST", "/login-code", {"phone": phone, "purpose": purpose})
        if status in {201, 202}:
            self.ids[phone].append((body["id"], app))

    def guess(self, app, purpose, phone):
        """Mostly a code of the last ones sent to the phone, whatever it was sent for."""
        sent = [code for code in list(self.provider.sent) if code.phone == phone][-4:]
        digits = (
            self.chance.choice(sent).digits if sent and self.chance.random() < 0.8 else "999999"
        )
        subject = {"phone": phone, "purpose": purpose}
        if self.ids[phone] and self.chance.random() < 0.6:
            id, app = self.chance.choice(self.ids[phone][-3:])
            subject = {"id": id}
        status, body = self.call(app, "POST", "/confirm", {"code": digits, **subject})
        if status == 200:
            self.approved.append((body["id"], digits))

    def cancel(self, app, purpose, phone):
        if self.ids[phone]:
            id, app = self.chance.choice(self.ids[phone][-3:])
            status, _ = self.call(app, "DELETE", f"/verifications/{id}")
            if status == 204:
                self.canceled.add(id)


@pytest.mark.parametrize(
    ("keeps_all", "routes"),
    [
        (True, "vavasms-otp"),
        (False, "vavasms-otp,vavasms-text"),
        pytest.param(True, "vavasms-otp,vavasms-text", marks=pytest.mark.slow),
        pytest.param(False, "vavasms-otp", marks=pytest.mark.slow),
    ],
)
def test_a_code_proves_what_it_was_sent_for_once(
    environment, valkey_url, valkey, keeps_all, routes, caplog
):
    for logger in ("otpservice", "werkzeug"):
        caplog.set_level(logging.CRITICAL, logger)  # the faults are meant
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, clock = random.Random(seed), FastClock()
    provider = Provider(clock.now, keeps_all, works_twice=keeps_all)
    ids = {phone: [] for phone in PHONES}
    with two_services(environment, valkey_url, provider, clock, chance, routes) as urls:
        callers = [Caller(urls, provider, f"{seed}.{n}", ids) for n in range(CALLERS)]
        with ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(lambda caller: caller.run(clock.began + SECONDS), callers))
    outcomes = sum((caller.outcomes for caller in callers), Counter())
    print(outcomes)
    assert not [name for name in outcomes if name.endswith((" 500", "internal_error"))]
    approved = [approval for caller in callers for approval in caller.approved]
    canceled = set().union(*(caller.canceled for caller in callers))
    assert len(approved) > 5
    assert canceled
    assert all(provider.of(digits).sent_for == id for id, digits in approved)
    assert len({id for id, _ in approved} - canceled) == len(approved)
    assert provider.most_guesses_met() <= MAX_ATTEMPTS
