"""SMS that come in: the provider's POST to its customer's notification URL."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

import urllib3

# Seconds in all for the customer to answer; the page names none.
_PATIENCE = 10


@dataclass(frozen=True, slots=True)
class IncomingSms:
    """One SMS from a phone to us; ``date`` is text, its form is our guess."""

    message_id: str
    sender: str
    content: str
    date: str


def require_loopback(url: str) -> str:
    """Give ``url`` back if it leads to this machine.

    A stand-in that can be told over HTTP where to post must not become a way into a network.

    Raises:
        ValueError: it is no http or https URL, or of another machine.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not _is_loopback(parts.hostname or ""):
        raise ValueError("the notification URL must be http or https to a loopback address")
    return url


def deliver(sms: IncomingSms, url: str) -> int:
    """POST the SMS, form-encoded, and give the HTTP status of the answer.

    Raises:
        urllib3.exceptions.HTTPError: there was none.
    """
    # "form" is the page's word for "from"; redirects stay unfollowed to remain on this machine.
    fields = {
        "message_id": sms.message_id,
        "form": sms.sender,
        "content": sms.content,
        "sms_date": sms.date,
    }
    with urllib3.PoolManager(timeout=urllib3.Timeout(total=_PATIENCE), retries=False) as pool:
        response = pool.request("POST", url, fields=fields, encode_multipart=False, redirect=False)
    return response.status


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
