"""From a checked body to the types of the domain; counts the request on the way."""

from typing import Any, NamedTuple

from otpservice.config.settings import Settings
from otpservice.verification.address import address_block
from otpservice.verification.code import Code
from otpservice.verification.destinations import Destinations
from otpservice.verification.digest import Digester
from otpservice.verification.owner import Owner
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.ports import SendRequest
from otpservice.web.context import caller, current_context
from otpservice.web.limits import RateLimiter
from otpservice.web.requests import Forbidden


class Guess(NamedTuple):
    """One guess at a code.

    Attributes:
        owner: the app, and the purpose if the verification is named by its phone.
        subject: the verification's id, or the phone of the owner's latest.
        code: what the end user typed.
        address: the end user's, as ``address_block`` groups them; None if it is not known.
    """

    owner: Owner
    subject: str | PhoneNumber
    code: Code
    address: str | None


class Intake:
    """Reads what an app asks for and applies the rate limits.

    Args:
        limiter: the rate limits.
        digester: makes the digests that requests are counted under.
        settings: the region of national numbers, countries and lists of numbers.
    """

    def __init__(self, limiter: RateLimiter, digester: Digester, settings: Settings) -> None:
        self._limiter = limiter
        self._digester = digester
        self._region = settings.default_region
        self._destinations = Destinations(
            settings.countries, denied=settings.denied_numbers, allowed=settings.allowed_numbers
        )

    def send_request(self, body: dict[str, Any]) -> SendRequest:
        """What a body of /login-code asks for.

        Raises:
            Forbidden, InvalidPhone: it cannot be asked for.
            RateLimited, StorageError: the request is not admitted.
            DestinationBlocked: nothing may be sent there.
        """
        asked_by, phone = self._owner(body["purpose"]), self._phone(body["phone"])
        self._admit("phone", phone.e164)
        app = caller()
        return SendRequest(
            asked_by,
            phone,
            address=_address(body),
            app_quota=app.send_quota,
            app_budget=app.daily_send_budget,
            trusted=self._destinations.admit(phone, app.countries),
        )

    def guess(self, body: dict[str, Any]) -> Guess:
        """What a body of /confirm asks for.

        Raises:
            Forbidden, InvalidPhone: it cannot be asked for.
            RateLimited, StorageError: the request is not admitted.
        """
        if "id" in body:
            self._admit("id", body["id"])
            return Guess(Owner(caller().name, ""), body["id"], body["code"], _address(body))
        asked_by, phone = self._owner(body.get("purpose", "login")), self._phone(body["phone"])
        self._admit("phone", phone.e164)
        return Guess(asked_by, phone, body["code"], _address(body))

    def _phone(self, text: str) -> PhoneNumber:
        phone = PhoneNumber.parse(text, region=self._region)
        current_context().phone = phone.masked
        return phone

    def _owner(self, purpose: str) -> Owner:
        app = caller()
        current_context().purpose = purpose
        if purpose not in app.purposes:
            raise Forbidden("This API key is not for that purpose.")
        return Owner(app.name, purpose)

    def _admit(self, kind: str, subject: str) -> None:
        self._limiter.admit(self._digester.bucket(kind, subject))


def _address(body: dict[str, Any]) -> str | None:
    """The end user's address as quotas count it, if the app gave it."""
    return address_block(body["client_ip"]) if "client_ip" in body else None
