"""The bodies of requests and answers; /openapi.json is made from these."""

import ipaddress
from datetime import datetime
from typing import Any, ClassVar

from marshmallow import (
    EXCLUDE,
    Schema,
    ValidationError,
    fields,
    validate,
    validates_schema,
)

from otpservice.verification.code import Code
from otpservice.verification.errors import InvalidCode
from otpservice.verification.ports import Status

PURPOSE = r"[a-z0-9_-]{1,32}"
_LOCALE = r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}"


class _Text(fields.String):
    """A string that matches a pattern as a whole.

    marshmallow's own Regexp would need ``\\Z`` in the pattern, which JSON Schema does not know.
    """

    def __init__(self, pattern: str, rule: str, **kwargs: Any) -> None:  # noqa: ANN401
        metadata = {"pattern": f"^{pattern}$"} | kwargs.pop("metadata", {})
        whole = validate.Regexp(rf"(?:{pattern})\Z", error=rule)
        super().__init__(validate=whole, metadata=metadata, **kwargs)


class _Code(fields.String):
    """What the end user typed, loaded as a ``Code``."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        text = super()._deserialize(value, *args, **kwargs)
        try:
            return Code.parse(text)
        except InvalidCode:
            raise ValidationError("Must be a string of 4 to 9 digits.") from None


class _Address(fields.String):
    """An IPv4 or IPv6 address, without zone."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        text = super()._deserialize(value, *args, **kwargs)
        try:
            if "%" in text:
                raise ValueError
            return ipaddress.ip_address(text)
        except ValueError:
            raise ValidationError("Must be an IPv4 or IPv6 address.") from None


_PHONE = {
    "description": "A mobile number as people write it, national or international.",
    "examples": ["+225 07 09 00 00 01", "0709000001"],
    "format": "phone",
}
_CLIENT_IP = {
    "description": "The end user's IPv4 or IPv6 address, without zone.",
    "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}],
}
_PURPOSE = {"description": "What the proof is for; one that the app may use.", "default": "login"}


class LoginCodeRequest(Schema):
    """The body of POST /login-code."""

    phone = fields.String(required=True, metadata=_PHONE)
    purpose = _Text(
        PURPOSE,
        "Must be 1 to 32 of a-z, 0-9, _ and -.",
        load_default="login",
        metadata=_PURPOSE,
    )
    locale = _Text(
        _LOCALE,
        "Must be a language tag such as fr or en-GB.",
        metadata={"description": "Chooses the language of the SMS; the service's if left out."},
    )
    client_ip = _Address(metadata=_CLIENT_IP)


class ConfirmRequest(Schema):
    """The body of POST /confirm: ``code``, and either ``id``, or ``phone`` and its ``purpose``."""

    code = _Code(
        required=True,
        metadata={
            "pattern": "^[0-9]{4,9}$",
            "description": "What the end user typed, leading zeros kept.",
            "examples": ["012345"],
        },
    )
    id = fields.String(metadata={"description": "The verification, as /login-code named it."})
    phone = fields.String(metadata=_PHONE)
    purpose = _Text(PURPOSE, "Must be 1 to 32 of a-z, 0-9, _ and -.", metadata=_PURPOSE)
    client_ip = _Address(metadata=_CLIENT_IP)

    json_schema: ClassVar[dict[str, Any]] = {
        "oneOf": [{"required": ["id"]}, {"required": ["phone"]}],
        "dependentRequired": {"purpose": ["phone"]},
    }

    @validates_schema
    def _names_one_verification(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401
        if "id" not in data and "phone" not in data:
            raise ValidationError("Give the id or the phone of the verification.", "id")
        for name in ("phone", "purpose"):
            if "id" in data and name in data:
                raise ValidationError("Not together with id, which names the verification.", name)


_TIME = {"description": "RFC 3339, UTC."}
_MASKED = {"description": "All but the calling code and the last two digits are stars."}


class Answer(Schema):
    """An answer. Its schema allows unknown members, because answers may gain some."""

    class Meta:
        """What else it may hold."""

        unknown = EXCLUDE


class _Identity(Answer):
    id = fields.String(required=True, metadata={"pattern": "^ver_[0-9a-f]{36}$"})
    purpose = fields.String(required=True)
    phone_masked = fields.String(required=True, metadata=_MASKED)


class VerificationResponse(_Identity):
    """The answer of GET /verifications/ID."""

    status = fields.String(
        required=True, validate=validate.OneOf([status.value for status in Status])
    )
    expires_at = fields.DateTime(required=True, metadata=_TIME)
    resend_at = fields.DateTime(required=True, metadata=_TIME)
    attempts_left = fields.Integer(required=True, metadata={"minimum": 0})
    delivery = fields.String(
        metadata={
            "description": "What the provider says of the last SMS, in its own words; only where "
            "it can be asked."
        }
    )


class LoginCodeResponse(_Identity):
    """The answer of POST /login-code."""

    status = fields.String(required=True, validate=validate.Equal("pending"))
    delivery = fields.String(required=True, validate=validate.OneOf(["sent", "unknown"]))
    expires_at = fields.DateTime(required=True, metadata=_TIME)
    resend_at = fields.DateTime(required=True, metadata=_TIME)
    attempts_left = fields.Integer(required=True, metadata={"minimum": 0})
    sends_left = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"minimum": 0, "description": "null where no quota bounds them."},
    )


class DryRunResponse(Answer):
    """The answer of POST /login-code?dry_run=true."""

    would_send = fields.Boolean(required=True)
    blocked_by = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The error's code, if something stands in the way."},
    )
    retry_after = fields.Integer(
        required=True, allow_none=True, metadata={"minimum": 0, "description": "Seconds."}
    )


class ConfirmResponse(_Identity):
    """The answer of POST /confirm."""

    status = fields.String(required=True, validate=validate.Equal("approved"))
    phone = fields.String(required=True, metadata={"description": "E.164, with the plus sign."})
    approved_at = fields.DateTime(required=True, metadata=_TIME)


class ProblemResponse(Answer):
    """Every error: an RFC 9457 problem."""

    type = fields.String(
        required=True,
        metadata={"pattern": "^urn:otpservice:problem:[a-z_]+$", "description": "Names the code."},
    )
    title = fields.String(required=True)
    status = fields.Integer(required=True, metadata={"minimum": 400, "maximum": 599})
    detail = fields.String(required=True, metadata={"description": "What to do about it."})
    code = fields.String(required=True, metadata={"description": "What to branch on."})
    request_id = fields.String(required=True, metadata={"description": "X-Request-Id again."})
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "By field, what to correct."},
    )
    attempts_left = fields.Integer(metadata={"minimum": 0})
    retry_after = fields.Integer(metadata={"minimum": 0, "description": "Retry-After again."})
    id = fields.String(metadata={"description": "The verification it is about."})
    limit = fields.String(metadata={"description": "The rate limit that refused."})
    quota = fields.String(metadata={"description": "The quota that refused."})
    down = fields.List(fields.String(), metadata={"description": "What /health/ready missed."})


class HealthResponse(Answer):
    """The answer of the probes."""

    status = fields.String(required=True, metadata={"enum": ["live", "ready"]})
    degraded = fields.List(
        fields.String(), metadata={"description": "Why some of the work cannot be done."}
    )


class IncomingSmsRequest(Schema):
    """What the provider posts for an incoming SMS. Its body, so what else it sends is ignored."""

    class Meta:
        """What else it may hold, and a name that is a word of Python's."""

        unknown = EXCLUDE
        include: ClassVar[dict[str, fields.Field[Any]]] = {
            "from": fields.String(
                metadata={"minLength": 1, "description": "The same, where it says so."}
            )
        }

    message_id = fields.String(
        required=True,
        metadata={"minLength": 1, "description": "The provider's; each counts once."},
    )
    form = fields.String(
        metadata={"minLength": 1, "description": "The sender, as the provider spells the word."}
    )
    content = fields.String(metadata={"description": "The text; nothing but STOP opts out."})
    sms_date = fields.String(metadata={"description": "In the provider's spelling."})

    json_schema: ClassVar[dict[str, Any]] = {
        "anyOf": [{"required": ["form"]}, {"required": ["from"]}],
    }


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: ``2026-11-22T16:00:00.000Z``."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
