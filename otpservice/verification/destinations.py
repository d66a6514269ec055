"""Where SMS may go: countries, a deny list, an allow list."""

from collections.abc import Collection, Iterable

from otpservice.verification.errors import DestinationBlocked
from otpservice.verification.phone import PhoneNumber


class Destinations:
    """The operator's lists.

    Args:
        countries: ISO 3166 codes SMS may go to.
        denied: E.164 numbers and prefixes nothing is sent to, whatever else says so.
        allowed: E.164 numbers and prefixes the operator vouches for: they pass the country list,
            and their block of numbers is not counted; a lock holds for them all the same.
    """

    def __init__(
        self, countries: Collection[str], *, denied: Iterable[str] = (), allowed: Iterable[str] = ()
    ) -> None:
        self._countries = frozenset(countries)
        self._denied = frozenset(denied)
        self._allowed = frozenset(allowed)

    def admit(self, phone: PhoneNumber, app_countries: Collection[str] | None = None) -> bool:
        """Whether the operator vouches for ``phone``, if something may be sent there at all.

        Args:
            phone: where to.
            app_countries: those of the app, which can only narrow the service's; None for all.

        Raises:
            DestinationBlocked: denied, or of a country that is not allowed.
        """
        if _starts_with_any(phone, self._denied):
            raise DestinationBlocked
        if _starts_with_any(phone, self._allowed):
            return True
        phone.require_country(self._countries)
        if app_countries is not None:
            phone.require_country(app_countries)
        return False


def _starts_with_any(phone: PhoneNumber, prefixes: frozenset[str]) -> bool:
    return bool(prefixes) and any(
        phone.e164[:length] in prefixes for length in range(2, len(phone.e164) + 1)
    )
