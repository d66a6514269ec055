"""How settings are declared, and read from the environment with all mistakes at once."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from otpservice.config.values import DEFAULT_ROUTES, file_text, unknown_names
from otpservice.verification.errors import InvalidSettings

T = TypeVar("T")

PREFIX = "OTPSERVICE_"


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable.

    Attributes:
        field: its field of Settings.
        own_name: its name without ``OTPSERVICE_``, if it is not the field's in upper case.
        read: makes the value of its text; raises ValueError with what is allowed.
        default: as it would be written, read like any other text; None: it must be set.
        meaning: one line for people, with its range.
        file_variant: whether ``OTPSERVICE_<NAME>_FILE`` may name a file that holds the text.
    """

    field: str
    own_name: str
    read: Callable[[str], object]
    default: str | None
    meaning: str
    file_variant: bool

    @property
    def name(self) -> str:
        """Its name without ``OTPSERVICE_``."""
        return self.own_name or self.field.upper()

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name

    @property
    def file_variable(self) -> str:
        """The name that holds the path of a file with its text instead."""
        return f"{self.variable}_FILE"


def setting(
    read: Callable[[str], T],
    default: str | None,
    meaning: str,
    *,
    name: str = "",
    secret: bool = False,
    file_variant: bool = True,
) -> T:
    """A dataclass field that is read from a variable; mypy holds its type to ``read``.

    Args:
        name: the variable, if it is not the field's name in upper case.
        secret: keep the value out of ``repr``.
    """
    about = {"own_name": name, "read": read, "default": default, "meaning": meaning}
    about["file_variant"] = file_variant
    declared: T = dataclasses.field(repr=not secret, metadata=about)
    return declared


def declared_in(cls: type) -> tuple[Setting, ...]:
    """The variables that a dataclass declares, in its order."""
    return tuple(Setting(field.name, **field.metadata) for field in dataclasses.fields(cls))


# What the routes of a family cannot work without.
_NEEDED_BY = {
    "vavasms": ("VAVASMS_USERNAME", "VAVASMS_PASSWORD", "VAVASMS_SENDER_ID"),
    "http": ("HTTP_ROUTE_URL", "HTTP_ROUTE_SECRET"),
}


def read_all(settings: Iterable[Setting], environ: Mapping[str, str]) -> dict[str, Any]:
    """The value of every setting by the name of its field.

    Raises:
        InvalidSettings: all mistakes at once, each under the variable it is in.
    """
    problems = _unknown_variables(settings, environ)
    values: dict[str, Any] = {}
    for setting in settings:
        try:
            values[setting.field] = _read(setting, environ)
        except InvalidSettings as error:
            problems += error.problems
    problems += _missing_for_routes(values)
    problems += _countries_of_apps(values)
    if problems:
        raise InvalidSettings(problems)
    return values


def _unknown_variables(settings: Iterable[Setting], environ: Mapping[str, str]) -> list[str]:
    known = [setting.variable for setting in settings]
    known += [setting.file_variable for setting in settings if setting.file_variant]
    # Without the prefix: with it every name would resemble some other.
    given = sorted(name.removeprefix(PREFIX) for name in environ if name.startswith(PREFIX))
    return unknown_names(given, [name.removeprefix(PREFIX) for name in known], PREFIX)


def _read(setting: Setting, environ: Mapping[str, str]) -> object:
    where, text = _find(setting, environ)
    if not text and setting.default is None:
        raise InvalidSettings([f"{where} is required: {setting.meaning}"])
    try:
        text.encode()  # the environment may hold bytes that are no text
        return setting.read(text)
    except UnicodeEncodeError:
        raise InvalidSettings([f"{where} is not UTF-8 text"]) from None
    except ValueError as error:
        raise InvalidSettings([f"{where} {error}"]) from None
    except InvalidSettings as error:
        raise InvalidSettings([f"{where}: {problem}" for problem in error.problems]) from None


def _find(setting: Setting, environ: Mapping[str, str]) -> tuple[str, str]:
    """Where the text of a setting comes from, for problems, and the text."""
    plain, file = setting.variable, setting.file_variable
    if not setting.file_variant or file not in environ:
        return plain, environ.get(plain, setting.default or "")
    if plain in environ:
        raise InvalidSettings([f"{plain} and {file} are both set: keep one of them"])
    try:
        # Editors and `echo` end a file with a new line that is no part of the secret.
        text = file_text(environ[file]).removesuffix("\n").removesuffix("\r")
        return f"{plain} (from {file})", text
    except ValueError as error:
        raise InvalidSettings([f"{file} {error}"]) from None


def _countries_of_apps(values: Mapping[str, Any]) -> list[str]:
    """An app's countries narrow the service's: another one would never get a code."""
    allowed = values.get("countries")
    return [
        f"{PREFIX}APPS_FILE: apps.{app.name}.countries holds {country}, which {PREFIX}COUNTRIES "
        "does not"
        for app in values.get("apps", ())
        for country in sorted((app.countries or frozenset()) - (allowed or frozenset()))
        if allowed
    ]


def _missing_for_routes(values: Mapping[str, Any]) -> list[str]:
    """Settings the routes in use need and that are empty; those with a mistake have a problem."""
    used = set(values.get("routes", DEFAULT_ROUTES))
    for app in values.get("apps", ()):
        used.update(app.routes or ())
    families = {route.partition("-")[0] for route in used}
    return [
        f"{PREFIX}{name} is required with a {family} route"
        for family, names in _NEEDED_BY.items()
        if family in families
        for name in names
        if not values.get(name.lower(), "has a mistake")
    ]
