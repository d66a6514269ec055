"""From the environment to values, with every mistake found on the way."""

from collections.abc import Mapping
from typing import Any

from otpservice.apps.values import DEFAULT_ROUTES, unknown_names
from otpservice.settings.table import PREFIX, SETTINGS, Setting
from otpservice.settings.values import file_text
from otpservice.verification.errors import InvalidSettings

# What the routes of a family cannot work without.
_NEEDED_BY = {
    "vavasms": ("VAVASMS_USERNAME", "VAVASMS_PASSWORD", "VAVASMS_SENDER_ID"),
    "http": ("HTTP_ROUTE_URL", "HTTP_ROUTE_SECRET"),
}


def read_all(environ: Mapping[str, str]) -> dict[str, Any]:
    """The value of every setting by its name in lower case.

    Raises:
        InvalidSettings: all mistakes at once, each under the variable it is in.
    """
    problems = _unknown_variables(environ)
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        try:
            values[setting.name] = _read(setting, environ)
        except InvalidSettings as error:
            problems += error.problems
    problems += _missing_for_routes(values)
    problems += _countries_of_apps(values)
    if problems:
        raise InvalidSettings(problems)
    return {name.lower(): value for name, value in values.items()}


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    known = [setting.variable for setting in SETTINGS]
    known += [setting.file_variable for setting in SETTINGS if setting.file_variant]
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
    allowed = values.get("COUNTRIES")
    return [
        f"{PREFIX}APPS_FILE: apps.{app.name}.countries holds {country}, which {PREFIX}COUNTRIES "
        "does not"
        for app in values.get("APPS_FILE", ())
        for country in sorted((app.countries or frozenset()) - (allowed or frozenset()))
        if allowed
    ]


def _missing_for_routes(values: Mapping[str, Any]) -> list[str]:
    """Settings the routes in use need and that are empty; those with a mistake are told already."""
    used = set(values.get("ROUTES", DEFAULT_ROUTES))
    for app in values.get("APPS_FILE", ()):
        used.update(app.routes or ())
    families = {route.partition("-")[0] for route in used}
    return [
        f"{PREFIX}{name} is required with a {family} route"
        for family, names in _NEEDED_BY.items()
        if family in families
        for name in names
        if not values.get(name, "told already")
    ]
