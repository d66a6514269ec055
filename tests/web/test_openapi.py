"""The service and its description agree, both ways."""

from dataclasses import dataclass, field
from hashlib import sha256
from itertools import combinations
from typing import Any

import pytest
from fakeredis import FakeRedis
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

import otpservice
from otpservice.app import create_app
from otpservice.config.settings import Settings
from otpservice.store.client import connect
from otpservice.store.verifications import RedisStore
from otpservice.verification.digest import Digester
from otpservice.verification.errors import OutcomeUnknown, ProviderRejected, ProviderUnavailable
from otpservice.web.ops.openapi import document
from tests.web.audit import STRICT, audit, audited, operation_of, template_of, told_of, violations
from tests.web.conftest import PHONE, too_late

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
NOBODY = "ver_" + "0" * 36
BUG = (500, "internal_error")

TOKEN = "token-of-the-incoming-sms-address"
WEBHOOK = f"/webhooks/vavasms/{TOKEN}"
SMS = {"message_id": "SM-1", "form": PHONE, "content": "Bonjour"}


@pytest.fixture
def seen():
    """Of every answer its operation, its status and its code."""
    return []


@pytest.fixture
def make_client(make_client, seen):
    return lambda **changes: audited(make_client(**changes).application, seen)


@pytest.fixture
def make_pair(environment, route, seen):
    """Two clients of one state, the second ten minutes later."""

    def make():
        settings, redis = Settings.from_env(environment), FakeRedis()
        for clock_offset in (0, 600_000):
            digester = Digester(settings.secret_keys)
            store = RedisStore(redis, digester, settings.policy, clock_offset=clock_offset)
            app = create_app(settings, redis=redis, store=store, routes={route.name: route})
            yield audited(app, seen)

    return make


def test_the_document_is_openapi_3_1(client):
    answer = client.get("/openapi.json", headers={"Authorization": ""})
    assert answer.mimetype == JSON
    assert answer.get_json()["openapi"].startswith("3.1.")
    assert answer.get_json()["info"]["version"] == otpservice.__version__
    OpenAPIV31SpecValidator(answer.get_json()).validate()


def test_what_is_served_is_what_the_other_tests_here_read(client):
    assert client.get("/openapi.json").get_json() == document()


def test_every_address_is_told_and_no_other(client):
    served = {
        (template_of(rule), method.lower())
        for rule in client.application.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert served == {(path, m) for path, methods in document()["paths"].items() for m in methods}


def test_an_answer_that_is_not_told_fails_the_audit(client, send):
    answer = send()
    audit(client.application, "/login-code", "POST", answer)
    answer.headers["X-Untold"] = "1"
    with pytest.raises(AssertionError):
        audit(client.application, "/login-code", "POST", answer)
    del answer.headers["X-Untold"]
    for data in (b"{}", answer.get_data().replace(b'"id"', b'"untold"')):
        answer.set_data(data)
        with pytest.raises(AssertionError):
            audit(client.application, "/login-code", "POST", answer)


@pytest.mark.parametrize(("status", "code"), [(418, "invalid_request"), (400, "wrong_code")])
def test_an_error_that_is_not_told_fails_the_audit(client, status, code):
    answer = client.post("/login-code", json={})
    answer.set_data(answer.get_data().replace(b'"invalid_request"', f'"{code}"'.encode()))
    answer.status_code = status
    with pytest.raises(AssertionError):
        audit(client.application, "/login-code", "POST", answer)


@pytest.mark.parametrize(
    ("method", "path", "public"),
    [
        ("POST", "/login-code", False),
        ("POST", "/confirm", False),
        ("GET", f"/verifications/{NOBODY}", False),
        ("DELETE", f"/verifications/{NOBODY}", False),
        ("GET", "/health", False),
        ("GET", "/metrics", False),
        ("GET", "/health/live", True),
        ("GET", "/health/ready", True),
        ("GET", "/openapi.json", True),
    ],
)
def test_who_needs_a_key_is_told(client, method, path, public):
    answer = client.open(path, method=method, headers={"Authorization": ""})
    assert (answer.status_code == 200) == public
    operation = operation_of(client.application, path, method)
    assert operation.get("security", document()["security"]) == (
        [] if public else [{"bearer": []}, {"apiKey": []}]
    )


def test_the_webhook_is_told_to_need_no_key(make_client):
    client = make_client(inbound_token=TOKEN)
    assert client.post(WEBHOOK, data=SMS, headers={"Authorization": ""}).status_code == 204
    assert operation_of(client.application, WEBHOOK, "POST")["security"] == []


@dataclass
class World:
    """What the flows below are driven with."""

    make_client: Any
    make_pair: Any
    send: Any
    confirm: Any
    route: Any
    seen: list = field(repr=False)

    def provider_raises(self, error, act, *args, **kwargs):
        self.route.raises = error
        act(*args, **kwargs)
        self.route.raises = None

    def told_and_given(self, operation_id):
        given = {answer for name, answer in self.seen if name == operation_id}
        return told_of(operation_id), given


@pytest.fixture
def world(make_client, make_pair, send, confirm, route, seen):
    return World(make_client, make_pair, send, confirm, route, seen)


class Broken(FakeRedis):
    """A store with a bug in it."""

    def execute_command(self, *args, **options):
        raise RuntimeError

    def pipeline(self, *args, **options):
        raise RuntimeError


def at_the_door(world, method, path):
    """Whatever the body: no key, no scope, another method, too busy, no store, a bug, the end."""
    client = world.make_client()
    client.open(path, method=method, headers={"Authorization": ""})
    client.open(path, method=method, headers={"Authorization": "Bearer otps_probe-key"})
    client.open(path, method="PUT")
    body = {"json": {"phone": PHONE}} if method == "POST" else {}
    if path == "/confirm":
        body["json"]["code"] = "123456"
    elif path == WEBHOOK:
        body["json"] = SMS
    world.make_client(max_in_flight=0).open(path, method=method, **body)
    world.make_client(is_stopping=lambda: True).open(path, method=method, **body)
    for redis in (connect("redis://127.0.0.1:1/0"), Broken()):
        world.make_client(redis=redis).open(path, method=method, **body)
    world.make_client(body_deadline=too_late).open(path, method=method, **body)


def with_bad_bodies(world, path, phone):
    client = world.make_client()
    client.post(path, json={})
    client.post(path, json=phone | {"phone": "22509000001"})
    client.post(path, json={"phone": "1" * 4096})
    client.post(path, data="phone=1", content_type="text/plain")


def sends_well_and_less_well(world):
    client = world.make_client()
    world.send("+33612345678", client=client)
    for purpose in ("login", "login", "two-factor"):
        world.send(client=client, purpose=purpose)
    for n, error in enumerate([OutcomeUnknown(), ProviderRejected(), ProviderUnavailable()]):
        world.provider_raises(error, world.send, f"+225070900001{n}", client=client)
    world.send(client=world.make_client(sending="off"))


def repeats(world, path, body):
    """One key while its first call runs, again, and for something else."""
    client = world.make_client()
    if path == "/confirm":
        world.send(client=client)

    def call(body=body):
        client.post(path, json=body, headers={"Idempotency-Key": "once"})

    during, world.route.during = world.route.during, call
    call()
    world.route.during = during
    call()
    call({**body, "client_ip": "192.0.2.1"})


def sends_over_the_limits(world):
    world.make_client().post("/login-code?dry_run=true", json={"phone": PHONE})
    limits = [
        {"phone_send_quota": "1/hour", "resend_after": "0"},
        {"daily_send_budget": "1", "resend_after": "0"},
        {"phone_rate_limit": "1/minute"},
        {"lockout_failures": "1"},
    ]
    for changes in limits:
        client = world.make_client(**changes)
        world.send(client=client)
        world.confirm("000000", client=client, phone=PHONE)
        world.send(client=client)


def confirms_well_and_less_well(world):
    client = world.make_client()
    world.confirm(client=client, phone=PHONE)
    id = world.send(client=client).get_json()["id"]
    for error in (ProviderRejected(), ProviderUnavailable(), OutcomeUnknown()):
        world.provider_raises(error, world.confirm, client=client, id=id)
    for code in ("000000", "123456", "123456"):
        world.confirm(code, client=client, id=id)


def confirms_over_the_limits(world):
    for changes in (
        {"max_attempts": "1"},
        {"lockout_failures": "1"},
        {"phone_rate_limit": "2/minute"},
    ):
        client = world.make_client(**changes)
        world.send(client=client)
        world.confirm("000000", client=client, phone=PHONE)
        world.confirm(client=client, phone=PHONE)


def confirms_from_one_address_too_often(world):
    client = world.make_client(address_failure_quota="1/hour")
    world.send(client=client)
    for _ in range(2):
        world.confirm("000000", client=client, phone=PHONE, client_ip="192.0.2.1")


def comes_too_late(world):
    client, later = world.make_pair()
    id = world.send(client=client).get_json()["id"]
    world.confirm(client=later, id=id)
    later.delete(f"/verifications/{id}")
    client.delete(f"/verifications/{world.send(client=later).get_json()['id']}")
    world.confirm(client=client, phone=PHONE)


def looks_and_cancels(world):
    client = world.make_client()
    for phone in ("+2250709000001", "+2250709000002"):
        id = world.send(phone, client=client).get_json()["id"]
        client.get(f"/verifications/{id}")
        client.delete(f"/verifications/{id}")
        id = world.send("+2250709000003", client=client).get_json().get("id")
        world.confirm(client=client, id=id)
        client.delete(f"/verifications/{id}")
    client.get(f"/verifications/{NOBODY}")
    client.delete(f"/verifications/{NOBODY}")


def test_every_answer_of_login_code_is_told_and_given(world):
    at_the_door(world, "POST", "/login-code")
    with_bad_bodies(world, "/login-code", {})
    sends_well_and_less_well(world)
    sends_over_the_limits(world)
    repeats(world, "/login-code", {"phone": PHONE})
    told, given = world.told_and_given("login_code")
    assert given == told


def test_every_answer_of_confirm_is_told_and_given(world):
    at_the_door(world, "POST", "/confirm")
    with_bad_bodies(world, "/confirm", {"code": "123456"})
    confirms_well_and_less_well(world)
    confirms_over_the_limits(world)
    confirms_from_one_address_too_often(world)
    repeats(world, "/confirm", {"phone": PHONE, "code": "123456"})
    comes_too_late(world)
    told, given = world.told_and_given("confirm")
    assert given == told


@pytest.mark.parametrize(
    ("operation", "method"), [("show_verification", "GET"), ("cancel_verification", "DELETE")]
)
def test_every_answer_about_a_verification_is_told_and_given(world, operation, method):
    at_the_door(world, method, f"/verifications/{NOBODY}")
    looks_and_cancels(world)
    comes_too_late(world)
    told, given = world.told_and_given(operation)
    assert given | {(405, "method_not_allowed")} == told


@pytest.mark.parametrize(
    ("operation", "path"),
    [("live", "/health/live"), ("ready", "/health/ready"), ("openapi", "/openapi.json")],
)
def test_every_answer_to_anybody_is_told_and_given(world, operation, path):
    at_the_door(world, "GET", path)
    told, given = world.told_and_given(operation)
    assert given | {BUG} == told


def test_every_answer_of_health_is_told_and_given(world, apps_file, tmp_path):
    key = "otps_operator-key"
    path = tmp_path / "apps.toml"
    lines = f'[apps.operator]\nkey_sha256 = ["{sha256(key.encode()).hexdigest()}"]'
    path.write_text(f'{apps_file.read_text()}\n{lines}\nscopes = ["admin"]\n')
    at_the_door(world, "GET", "/health")
    for redis in (FakeRedis(), connect("redis://127.0.0.1:1/0"), Broken()):
        client = world.make_client(apps_file=str(path), redis=redis)
        client.get("/health", headers={"Authorization": f"Bearer {key}"})
    told, given = world.told_and_given("health")
    assert given == told


def test_every_answer_of_metrics_is_told_and_given(world):
    at_the_door(world, "GET", "/metrics")
    for redis in (FakeRedis(), Broken()):
        client = world.make_client(redis=redis)
        client.get("/metrics", headers={"Authorization": "Bearer otps_probe-key"})
    told, given = world.told_and_given("metrics")
    assert given == told


def test_every_answer_to_an_incoming_sms_is_told_and_given(world, make_client):
    world.make_client = lambda **changes: make_client(inbound_token=TOKEN, **changes)
    at_the_door(world, "POST", WEBHOOK)
    client = world.make_client()
    for body in (SMS, {}, {"content": "1" * 4096}):
        client.post(WEBHOOK, json=body)
    client.post(WEBHOOK, data="STOP", content_type="text/plain")
    client.post(f"{WEBHOOK}-", json=SMS)
    told, given = world.told_and_given("incoming_sms")
    assert given == told


@pytest.mark.parametrize("kind", [JSON, FORM])
@pytest.mark.parametrize(
    ("body", "good"),
    [
        (SMS, True),
        (SMS | {"from": PHONE, "surprise": "1"}, True),
        ({"message_id": "SM-1", "from": PHONE}, True),
        ({"message_id": "SM-1"}, False),
        ({"message_id": "", "form": PHONE}, False),
        ({"form": PHONE}, False),
    ],
)
def test_the_schema_of_an_incoming_sms_is_what_is_taken(make_client, kind, body, good):
    sent = {"json": body} if kind == JSON else {"data": body}
    taken = make_client(inbound_token=TOKEN).post(WEBHOOK, **sent).status_code == 204
    told = document()["paths"]["/webhooks/vavasms/{token}"]["post"]["requestBody"]["content"]
    schema = {"components": document()["components"], "allOf": [told[kind]["schema"]]}
    assert (taken, Draft202012Validator(schema).is_valid(body)) == (good, good)


GOOD = {"/login-code": {"phone": PHONE}, "/confirm": {"code": "123456", "phone": PHONE}}

FIELDS = {
    "phone": ["0709000001", None, 2250709000001, [PHONE], True],
    "purpose": ["two-factor", "", "Log in", "x" * 32, "x" * 33, None, 1],
    "locale": ["fr", "en-GB", "e", "../fr", "", None, 1],
    "client_ip": ["10.0.0.1", "::1", "::ffff:1.2.3.4", "fe80::1%eth0", "1.2.3", "", None, 16777217],
    "code": ["0000", "012345678", "123", "0123456789", "12345a", "", None, 123456],
    "id": [NOBODY, None, 7],
    "surprise": ["1", None],
}

ONE_FIELD_CHANGED = [
    (path, body | {name: value})
    for path, body in GOOD.items()
    for name, values in FIELDS.items()
    for value in values
]
NAMES = {"id": NOBODY, "phone": PHONE, "purpose": "login"}
ONE_OR_THE_OTHER = [
    ("/confirm", {"code": "123456"} | {name: NAMES[name] for name in chosen})
    for size in range(len(NAMES) + 1)
    for chosen in combinations(NAMES, size)
]
BODIES = [
    *ONE_FIELD_CHANGED,
    *ONE_OR_THE_OTHER,
    ("/login-code", {}),
    ("/login-code", []),
    ("/login-code", 7),
    ("/confirm", {}),
    ("/confirm", "123456"),
]


def told_to_be_good(path, kind, body):
    content = STRICT["paths"][path]["post"]["requestBody"]["content"]
    return violations(content[kind]["schema"], body) == []


@pytest.mark.parametrize(("path", "body"), BODIES)
def test_the_schema_of_a_body_takes_and_refuses_what_the_service_does(client, path, body):
    taken = client.post(path, json=body).status_code != 400
    assert taken == told_to_be_good(path, JSON, body)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (path, body)
        for path, body in BODIES
        if isinstance(body, dict) and all(isinstance(value, str) for value in body.values())
    ],
)
def test_the_schema_of_a_form_takes_and_refuses_what_the_service_does(client, path, body):
    taken = client.post(path, data=body, content_type=FORM).status_code != 400
    assert taken == told_to_be_good(path, FORM, body)
