"""Every way a route can fail, made to happen: one for each line of docs/faults.md."""

import json
import re
import socket
from contextlib import contextmanager
from pathlib import Path

from standardwebhooks import Webhook

from otpservice.routes.vavasms_otp import VavasmsOtpRoute
from otpservice.routes.vavasms_text import VavasmsTextRoute
from otpservice.routes.webhook import HttpRoute
from otpservice.vavasms import VavasmsClient
from tests.fake_provider import FakeProvider, after, answer, cut, drip, hang, reset

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
VAVASMS = ("vavasms-otp", "vavasms-text")
OPERATIONS = {"vavasms-otp": "otp/send", "vavasms-text": "text/single"}

# Seconds of patience: little where a fault uses all of it up, else more than a busy machine needs.
LITTLE, ENOUGH = 0.25, 10
SLOW = ("hang", "hang after it said yes", "drip", "connect timeout")


def table(heading):
    """The lines of the table under a heading of the page, as tuples without the backticks."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [tuple(cell.strip(" `") for cell in line.strip("|").split("|")) for line in lines]


@contextmanager
def refusing():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}/api"


@contextmanager
def nameless():
    yield "https://sms.invalid/api"


@contextmanager
def without_tls():
    def speak_plainly(sock):
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with FakeProvider(answer(""), before_request=speak_plainly) as provider:
        yield provider.url.replace("http:", "https:")


@contextmanager
def swallowing():
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        socket.create_connection(listener.getsockname()),  # the one place in its queue
    ):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api"


UNREACHABLE = {
    "connection refused": refusing,
    "name not resolved": nameless,
    "TLS failure": without_tls,
    "connect timeout": swallowing,
}

STATUSES = {f"HTTP {n}": f"http_{n}" for n in (429, 503, 404, 405, 413, 400, 500, 502, 504)}
_PERHAPS_SENT = ("HTTP 400", "HTTP 500", "HTTP 502", "HTTP 504")
_WITH_ID = answer('{"code": 950, "message": "OOPS", "data": {"message_id": "OTP-1"}}')

# By fault, what the sandbox is told; of one that may do the work or not, both. Bytes are another
# server's answer.
SEND_BY_VAVASMS = {
    **{fault: (name,) for fault, name in STATUSES.items() if fault not in _PERHAPS_SENT},
    **{fault: (STATUSES[fault], f"{STATUSES[fault]}_after") for fault in _PERHAPS_SENT},
    "redirect": ("redirect",),
    "code 901": ("901",),
    "code 902": ("902",),
    "unknown code": ("950", 402),
    "code 903": ("903",),
    "hang": ("hang", "hang_after"),
    "reset": ("reset", "reset_after"),
    "cut": ("cut_after",),
    "drip": ("drip",),
    "HTML with 200": ("html", "html_after"),
    "half an answer with 200": ("garbage", "garbage_after"),
    "code 0 without message_id": ("no_message_id", "0"),
    "unknown code with message_id": (_WITH_ID,),
    "trailing comma": ("trailing_comma",),
}

# By fault, what the organisation's own gateway answers.
SEND_BY_HTTP = {
    **{fault: (answer("", fault.removeprefix("HTTP ") + " X"),) for fault in STATUSES},
    "redirect": (answer("", "307 X", "Location: http://127.0.0.1:1/\r\n"),),
    "hang": (hang,),
    "reset": (reset,),
    "cut": (cut, after(b"HTTP/1.1 200", cut)),
    "drip": (drip(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),),
    "HTML with 200": (answer("<h1>Maintenance</h1>"),),
    "half an answer with 200": (after(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n{", cut),),
}

CHECK = {
    **{fault: name for fault, name in STATUSES.items() if fault != "HTTP 400"},
    **{f"code {n}": str(n) for n in (901, 902, 903, 913)},
    "EXPIRED_OTP": "EXPIRED_OTP",
    "OTP_NOT_FOUND": "OTP_NOT_FOUND",
    "unknown code": "950",
    "redirect": "redirect",
    "hang": "hang",
    "reset": "reset",
    "HTML with 200": "html",
    "half an answer with 200": "garbage",
    "code 0 without success": "0",
    "hang after it said yes": "hang_after",
    "reset after it said yes": "reset_after",
    "cut": "cut_after",
    "drip": "drip",
    "HTTP 500 after it said yes": "http_500_after",
    "HTML with 200 after it said yes": "html_after",
    "trailing comma": "trailing_comma",
}


def ways_to_fail(route):
    """All faults of a send by ``route``: the page's word, and how it is made to happen."""
    answers = SEND_BY_VAVASMS if route in VAVASMS else SEND_BY_HTTP
    unreachable = [(fault, None) for fault in (*UNREACHABLE, "breaker open")]
    return unreachable + [(fault, how) for fault, hows in answers.items() for how in hows]


def make_route(name, url, timeout=ENOUGH):
    if name == "http":
        return HttpRoute(url, SECRET, timeout=timeout)
    client = VavasmsClient(
        url=url, username="demo@example.com", password="demo-password", timeout=timeout
    )
    return (VavasmsOtpRoute if name == "vavasms-otp" else VavasmsTextRoute)(client)


class Gateway(FakeProvider):
    """The organisation's own gateway: takes what is signed, and answers as it is told."""

    def __init__(self, *replies):
        super().__init__(*replies or [answer("", "202 X")])

    @property
    def codes(self):
        """The codes it was given, newest first; raises if one was not signed."""
        signed = Webhook(SECRET)
        texts = [signed.verify(r.body, r.headers) or json.loads(r.body) for r in self.requests]
        return [re.search(r"[0-9]{6}", sms["text"])[0] for sms in reversed(texts)]
