"""After hundreds of logins and every kind of trouble, nothing that is secret is left anywhere.

Codes have nine digits here, and only whole runs of digits are compared: so a millisecond or a port
is no code by chance, and a code is one wherever it stands.
"""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import quote

import pytest

from otpservice.store.client import connect
from tests.conftest import KEYS, SECRET

FLOWS = 200
TOKEN = "inbound-token-of-the-leak-tests-0123"
PASSWORD = "demo-password"
ADDRESSES = [f"192.0.2.{n}" for n in range(1, 9)]
TROUBLE = [
    None,
    ("otp/send", "http_503"),
    ("otp/send", "reset_after"),
    ("otp/send", "garbage"),
    ("otp/send", "901"),
    ("otp/send", "903"),
    ("otp/send", "redirect"),
    ("otp/verify", "http_500_after"),
    ("otp/verify", "reset"),
    ("otp/verify", "html_after"),
    ("otp/verify", "901"),
    ("otp/verify", "trailing_comma"),
    ("text/single", "reset_after"),
    ("text/single", "trailing_comma"),
    ("text/single", "902"),
]


@dataclass
class Traces:
    """All that a run left behind, and all that must not be found in it."""

    answers: list = field(default_factory=list)
    codes: set = field(default_factory=set)
    phones: set = field(default_factory=set)
    words: set = field(default_factory=set)
    log: str = ""
    redis: dict = field(default_factory=dict)

    def leaks(self, text):
        """What of it stands in a text."""
        runs = set(re.findall(r"[0-9]{9,}", text))
        # As it was typed, too: the digits of a number with one mark between them at the most.
        typed = set(re.findall(r"[0-9](?:[ .-]?[0-9]){9,}", text))
        digits = runs | {re.sub(r"[^0-9]", "", run) for run in typed}
        tens = {run[at : at + 10] for run in digits for at in range(len(run) - 9)}
        phones = {phone for phone in self.phones if phone[4:] in tens}
        return (runs & self.codes) | phones | {word for word in self.words if word in text}


class Caller:
    """Somebody logs in, and does much wrong."""

    def __init__(self, service, traces, n):
        self.service, self.traces, self.n = service, traces, n
        self.app = ("portal", "shop")[n % 2]
        digits = f"07{(n * 7_654_321 + 12_345_678) % 10**8:08}"
        self.phone = f"+225{digits}"
        self.spelled = (self.phone, f"225{digits}", " ".join(re.findall("..", digits)), digits)[
            n % 4
        ]
        traces.phones.add(self.phone)

    def call(self, method, path, body=None, **headers):
        answer = self.service.call(method, path, body, self.app, **headers)
        self.traces.answers.append((path, answer.status, str(answer.headers), answer.body))
        return answer

    def key(self, name):
        key = f"idempotency-{name}-of-caller-{self.n}"
        self.traces.words.add(key)
        return {"Idempotency-Key": key}

    def run(self):
        if fault := TROUBLE[self.n % len(TROUBLE)]:
            self.service.fault(*fault)
        fields = {"phone": self.spelled, "client_ip": ADDRESSES[self.n % len(ADDRESSES)]}
        for _ in range(2):
            sent = self.call("POST", "/login-code", fields, **self.key("send"))
        again = [
            ("/login-code", fields, {}),
            ("/login-code", {**fields, "locale": "en"}, self.key("send")),
            ("/login-code?dry_run=true", fields, {}),
        ]
        path, body, key = again[self.n % 3]
        self.call("POST", path, body, **key)
        self.guess(sent.body.get("id"))
        self.blunder()

    def guess(self, id):
        right = self.codes()[:1] or ["000000000"]
        wrong = [str((int(code) + 1) % 10**9).zfill(9) for code in right]
        self.traces.codes |= {*right, *wrong}
        subject = {"id": id} if id and self.n % 3 else {"phone": self.spelled}
        for code in (*wrong, *right):
            for _ in range(2):
                body = {"code": code, **subject}
                self.call("POST", "/confirm", body, **self.key(f"check-{code[-3:]}"))
        self.call("POST", "/confirm", {"code": right[0], **subject})
        if id:
            self.call(("GET", "DELETE")[self.n % 2], f"/verifications/{id}")

    def codes(self):
        sent = self.service.inbox(self.phone)
        return [sms.get("code") or re.search(r"[0-9]{9}", sms["text"])[0] for sms in sent]

    def blunder(self):
        """The same secrets where they do not belong."""
        code = (self.codes() or ["000000000"])[0]
        wrong_key = f"otps_wrong-key-of-caller-{self.n}"
        self.traces.words.add(wrong_key)
        stop = {"from": self.phone, "content": f"STOP {code}", "message_id": f"SM-{self.n}"}
        login, inbound = "/login-code", f"/webhooks/vavasms/{TOKEN}"
        calls = [
            ("POST", "/confirm", {"phone": self.phone, "code": code, "text": code}, {}),
            ("POST", "/confirm", {"phone": code, "code": self.phone}, {}),
            ("POST", login, {"phone": f"{self.phone};{code}", "purpose": self.phone}, {}),
            ("POST", login, {"phone": self.phone}, {"Authorization": wrong_key}),
            ("POST", login, {"phone": self.phone}, {"Authorization": f"Bearer {wrong_key}"}),
            ("GET", f"/verifications/{quote(self.phone)}", None, {}),
            ("GET", f"/{code}?phone={self.phone}", None, {}),
            ("POST", inbound, stop, {}),
            ("POST", inbound, {"content": code}, {}),
        ]
        for method, path, body, headers in calls[self.n % 3 :: 3]:
            self.call(method, path, body, **headers)


@pytest.fixture(scope="module")
def traces(run, valkey_url, sandbox):
    """Of one run, with all its trouble and with Redis away for a moment."""
    sandbox.state.reset()
    traces = Traces(words={*KEYS.values(), PASSWORD, SECRET.decode(), TOKEN, *ADDRESSES})
    changes = {
        "routes": "vavasms-otp,vavasms-text",
        "code_length": "9",
        "log_level": "DEBUG",
        "inbound_token": TOKEN,
        "breaker_failures": "0",
        "prefix_send_quota": "",
        "address_send_quota": "",
        "address_failure_quota": "",
    }
    with connect(valkey_url) as redis, run(**changes) as service:
        redis.flushall()
        callers = [Caller(service, traces, n) for n in range(FLOWS)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(Caller.run, callers[:-3]))
        redis.client_pause(400, all=True)
        for caller in callers[-3:]:
            caller.run()
        traces.redis = everything(redis)
    traces.log = service.log.read_text()
    return traces


def everything(redis):
    """All keys of Redis with their contents as text and the milliseconds they still have."""
    read = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"set": redis.smembers,
        b"stream": redis.xrange,
    }
    return {
        key.decode(): (read[redis.type(key)](key), redis.pttl(key))
        for key in redis.scan_iter(count=1000)
    }


def test_the_search_finds_what_it_looks_for(traces):
    code, phone = next(iter(traces.codes)), next(iter(traces.phones))
    spaced = " ".join(re.findall("..", phone[4:]))
    for text in (f"code={code}&", f'"{code}"', phone, phone[1:], phone[4:], f"tel {spaced}!"):
        assert traces.leaks(text)
    for word in traces.words:
        assert traces.leaks(f"x{word}x") >= {word}
    assert not traces.leaks("+225********01 1795310821123 1000000000")


def test_the_run_went_through_all_its_trouble(traces):
    codes = {body.get("code") or status for _, status, _, body in traces.answers}
    assert codes >= {
        200,
        201,
        202,
        204,
        "already_confirmed",
        "idempotency_mismatch",
        "invalid_phone",
        "invalid_request",
        "not_found",
        "outcome_unknown",
        "provider_rejected",
        "resend_too_soon",
        "store_unavailable",
        "unauthorized",
        "wrong_code",
    }
    assert len(traces.codes) > FLOWS
    assert '"logger": "gunicorn.error"' in traces.log
    assert '"level": "DEBUG"' in traces.log
    assert '"event": "store_unavailable"' in traces.log
    assert '"phone_masked": "+225********' in traces.log
    assert len([key for key in traces.redis if ":v:" in key]) > FLOWS / 2


def test_no_secret_is_in_the_log(traces):
    assert not traces.leaks(traces.log)
    lines = [json.loads(line) for line in traces.log.splitlines()]
    assert not traces.leaks("\n".join(texts(lines)))  # nor behind an escape of JSON


def texts(value):
    """All that is written in a JSON value."""
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [str(value)]


def test_no_secret_is_in_an_answer_but_the_phone_of_a_confirmed_one(traces):
    shown = []
    for path, status, headers, body in traces.answers:
        members = dict(body)
        if (path, status) == ("/confirm", 200):
            assert members.pop("phone") in traces.phones
        shown += [headers, *texts(members)]
    assert not traces.leaks("\n".join(shown))


def test_redis_holds_phones_in_records_only_and_nothing_else_that_is_secret(traces):
    for key, (held, _) in traces.redis.items():
        assert not traces.leaks(key)
        if ":v:" in key:
            assert held.pop(b"phone").decode() in traces.phones
        assert not traces.leaks(str(held)), key


def test_every_key_of_redis_expires(traces):
    assert {key: left for key, (_, left) in traces.redis.items() if left <= 0} == {}
    slow_to_go = {left for key, (_, left) in traces.redis.items() if ":v:" in key}
    assert max(slow_to_go) <= (300 + 3600) * 1000
