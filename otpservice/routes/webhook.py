"""The local route over the organisation's own SMS gateway."""

import json
import secrets
import ssl
from datetime import UTC, datetime

from standardwebhooks import Webhook

from otpservice.routes.posting import deliver
from otpservice.transport import Transport
from otpservice.verification.routes import OutgoingCode

_SECRET_PREFIX = "whsec_"


class HttpRoute:
    """Posts each SMS as JSON, signed as Standard Webhooks says; any 2xx means that it was sent.

    The JSON is ``id`` (the verification's), ``to`` (E.164), ``text``, ``sender_id``, ``app``,
    ``purpose`` and ``created_at`` (RFC 3339, UTC). The header ``webhook-id`` is the SMS's own: a
    resend has the same ``id`` and another ``webhook-id``. What other answers mean: ``deliver``.

    Args:
        url: where to; https, or http to a loopback address.
        secret: what requests are signed with: ``whsec_`` and the base64 of 24 to 64 bytes.
        timeout: seconds for one call in all.
        ssl_context: other trusted certificates than the system's.

    Raises:
        ValueError: the address or the secret cannot be used safely.
    """

    name = "http"

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        timeout: float = 10.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if not secret.startswith(_SECRET_PREFIX) or secret == _SECRET_PREFIX:
            # The library takes any text for base64, and signs with what is left of it.
            raise ValueError(f"The secret of the http route must begin with {_SECRET_PREFIX}")
        self._signer = Webhook(secret)
        self._transport = Transport(url, timeout=timeout, ssl_context=ssl_context)

    def send(self, message: OutgoingCode) -> str:
        """Post one SMS. See ``routes.Route.send``; a gateway's name for it is not asked for."""
        now = datetime.now(UTC)
        body = json.dumps(
            {
                "id": message.id,
                "to": message.phone.e164,
                "text": message.text,
                "sender_id": message.sender_id,
                "app": message.owner.app,
                "purpose": message.owner.purpose,
                "created_at": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            },
            separators=(",", ":"),
        )
        headers = self._headers(body, now)
        within = message.seconds_left
        deliver(self.name, self._transport, body.encode("ascii"), headers, within=within)
        return ""

    def close(self) -> None:
        """Close the kept connections."""
        self._transport.close()

    def _headers(self, body: str, now: datetime) -> dict[str, str]:
        webhook_id = f"msg_{secrets.token_hex(16)}"
        return {
            "Content-Type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(webhook_id, now, body),
        }
