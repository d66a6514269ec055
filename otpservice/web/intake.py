"""From a checked body to the domain's words, past the door."""

from typing import Any

from otpservice.config.settings import Settings
from otpservice.verification.address import address_block
from otpservice.verification.destinations import Destinations
from otpservice.verification.digest import Digester
from otpservice.verification.owner import Owner
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.ports import SendRequest
from otpservice.web.current import caller, facts
from otpservice.web.limits import Door
from otpservice.web.requests import Forbidden


class Intake:
    """Reads what an app asks for, and counts it.

    Args:
        door: counts each request.
        digester: makes the buckets that requests are counted in.
        settings: the region of national numbers, countries and lists of numbers.
    """

    def __init__(self, door: Door, digester: Digester, settings: Settings) -> None:
        self._door = door
        self._digester = digester
        self._region = settings.default_region
        self._destinations = Destinations(
            settings.countries, denied=settings.denied_numbers, allowed=settings.allowed_numbers
        )

    def send_request(self, body: dict[str, Any]) -> SendRequest:
        """What a body of /login-code asks for.

        Raises:
            Forbidden, InvalidPhone: it cannot be asked for.
            RateLimited, StorageError: the door is shut.
            DestinationBlocked: nothing may be sent there.
        """
        asked_by, phone = self._owner(body["purpose"]), self._phone(body["phone"])
        self._admit("phone", phone.e164)
        app = caller()
        return SendRequest(
            asked_by,
            phone,
            address=self.address(body),
            app_quota=app.send_quota,
            app_budget=app.daily_send_budget,
            trusted=self._destinations.admit(phone, app.countries),
        )

    def subject(self, body: dict[str, Any]) -> tuple[Owner, str | PhoneNumber]:
        """Whose verification a body of /confirm means: one by its id, or the latest of a phone.

        Raises:
            Forbidden, InvalidPhone: it cannot be asked for.
            RateLimited, StorageError: the door is shut.
        """
        if "id" in body:
            self._admit("id", body["id"])
            return Owner(caller().name, ""), body["id"]
        asked_by, phone = self._owner(body.get("purpose", "login")), self._phone(body["phone"])
        self._admit("phone", phone.e164)
        return asked_by, phone

    def address(self, body: dict[str, Any]) -> str | None:
        """The end user's address as quotas count it, if the app told it."""
        return address_block(body["client_ip"]) if "client_ip" in body else None

    def _phone(self, text: str) -> PhoneNumber:
        phone = PhoneNumber.parse(text, region=self._region)
        facts().phone = phone.masked
        return phone

    def _owner(self, purpose: str) -> Owner:
        app = caller()
        facts().purpose = purpose
        if purpose not in app.purposes:
            raise Forbidden("This API key is not for that purpose.")
        return Owner(app.name, purpose)

    def _admit(self, kind: str, subject: str) -> None:
        self._door.admit(self._digester.bucket(kind, subject))
