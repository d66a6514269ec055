"""How ``REDIS_URL`` is read: its forms, its options and the files that it names."""

import re
import ssl
from collections.abc import Mapping
from urllib.parse import parse_qs

from otpservice.config.values import HOST

_LOGIN = r"(?:[^/?#\s]*@)?"
_NODES = rf"(?P<nodes>{HOST}:[0-9]{{1,5}}(?:,{HOST}:[0-9]{{1,5}})*)"
_QUERY = r"(?:\?[^#\s]*)?"
_REDIS_URLS = (
    rf"rediss?://{_LOGIN}(?P<nodes>{HOST}(?::[0-9]{{1,5}})?)(?:/[0-9]*)?{_QUERY}",
    rf"unix://(?:[^/?#\s]*@)?(?P<nodes>)/[^?#\s]+{_QUERY}",
    rf"rediss?\+sentinel://{_LOGIN}{_NODES}/[A-Za-z0-9._-]+(?:/[0-9]+)?{_QUERY}",
    rf"rediss?\+cluster://{_LOGIN}{_NODES}/?{_QUERY}",
)
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
_REDIS_OPTIONS = {
    "redis": ("db",),
    "rediss": ("db", *_TLS_OPTIONS),
    "unix": ("db", "username", "password"),
    "redis+sentinel": _SENTINEL_OPTIONS,
    "rediss+sentinel": (*_SENTINEL_OPTIONS, *_TLS_OPTIONS),
    "redis+cluster": (),
    "rediss+cluster": _TLS_OPTIONS,
}


def redis_url(text: str) -> str:
    """One of the forms of docs/redis.md; it may hold a password, so problems never repeat it."""
    match = next((m for form in _REDIS_URLS if (m := re.fullmatch(form, text))), None)
    ports = re.findall(r":([0-9]+)(?=,|\Z)", match["nodes"]) if match else ["0"]
    if not all(1 <= int(port) <= 65_535 for port in ports):  # noqa: PLR2004
        raise ValueError(
            "must be redis://HOST:PORT/DB, rediss://HOST:PORT/DB, unix:///PATH?db=DB, "
            "redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB or "
            "redis+cluster://HOST:PORT,HOST:PORT, rediss+… over TLS; USER:PASSWORD@ may stand "
            "before the host"
        )
    scheme, _, rest = text.partition("://")
    _check_redis_options(scheme, parse_qs(rest.partition("?")[2], keep_blank_values=True))
    return text


def _check_redis_options(scheme: str, given: dict[str, list[str]]) -> None:
    """What stands after the question mark: all else would reach redis-py, and undo timeouts."""
    allowed = _REDIS_OPTIONS[scheme]
    if not all(name in allowed for name in given):
        raise ValueError(f"may have only these options after ?: {', '.join(allowed) or 'none'}")
    if not re.fullmatch(r"[0-9]{1,4}", given.get("db", ["0"])[0]):
        raise ValueError("must have a number as its db")
    if scheme.startswith("rediss"):
        _check_certificates({name: values[0] for name, values in given.items()})


def _check_certificates(options: Mapping[str, str]) -> None:
    """Files that cannot be used would be found out only when the first connection is made."""
    ca, cert = options.get("ssl_ca_certs"), options.get("ssl_certfile")
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            # Without a password an encrypted key would ask for it on the terminal.
            context.load_cert_chain(cert, options.get("ssl_keyfile"), password=lambda: "")
    except (OSError, ValueError):
        raise ValueError(
            "names a file in ssl_ca_certs, ssl_certfile or ssl_keyfile that cannot be used"
        ) from None
