"""The JSON of the provider's page: which name stands where, and which code is a string."""

import json
from typing import Any

Json = dict[str, Any]

SUCCESS = "OPERATION_SUCCES"
INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
INVALID_SENDER_ID = "INVALID_SENDER_ID"
INVALID_PHONE_NUMBER = "INVALID_PHONE_NUMBER"
EXECUTION_ERROR = "EXECUTION_ERROR"
INVALID_OTP = "INVALID_OTP"
EXPIRED_OTP = "EXPIRED_OTP"
OTP_NOT_FOUND = "OTP_NOT_FOUND"
INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"

# The SDKs know these two by name only. Both get the same number, which means nothing, so that no
# client can tell them apart by a number nobody has ever seen.
NUMBER_UNKNOWN = 999

# Numbers and texts are the page's, down to its curly quotes; the last three lines are guesses.
_ERRORS: dict[str, tuple[int, str]] = {
    INVALID_CREDENTIALS: (901, "Identifiant de connexion incorrect"),
    INVALID_SENDER_ID: (902, "Le sender_id n’existe pas"),  # noqa: RUF001
    INVALID_PHONE_NUMBER: (903, "Le format du numéro de téléphone est invalide"),
    EXECUTION_ERROR: (709, "Aucun envoi existe pour ce ID"),
    INVALID_OTP: (913, "vavasms.INVALID_OTP"),
    EXPIRED_OTP: (NUMBER_UNKNOWN, "vavasms.EXPIRED_OTP"),
    OTP_NOT_FOUND: (NUMBER_UNKNOWN, "vavasms.OTP_NOT_FOUND"),
    INSUFFICIENT_BALANCE: (402, "Solde insuffisant"),
}
_BY_NUMBER = {number: name for name, (number, _) in _ERRORS.items() if number != NUMBER_UNKNOWN}
_OF_THE_OTP = {INVALID_OTP, EXPIRED_OTP, OTP_NOT_FOUND}


class Refusal(Exception):
    """The provider says no: ``name`` is its name for why, ``description`` its words."""

    def __init__(self, name: str, description: str | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.description = description or _ERRORS[name][1]


def success(data: Json | list[Json]) -> Json:
    """What every operation answers when all is well."""
    return {"code": 0, "message": SUCCESS, "data": data}


def refused(operation: str, refusal: Refusal) -> Json:
    """A refusal in the shape the page shows for this operation.

    check/balance, and whatever is wrong with a code: number, ``message``, empty ``data``. 709:
    the same with its number as a string. All else: number as a string, name in ``status``, no
    ``data``.
    """
    name, number = refusal.name, _ERRORS[refusal.name][0]
    if operation == "check/balance" or name in _OF_THE_OTP:
        return _in_message(number, name, refusal.description)
    if name == EXECUTION_ERROR:
        return _in_message(str(number), name, refusal.description)
    return {"code": str(number), "status": name, "description": refusal.description}


def by_code(operation: str, code: str | int) -> Json:
    """The answer for a code or a name somebody asked for; any number will do.

    0 is a success that says nothing else. A number the page does not know keeps the type it came
    in, string or int.
    """
    name = code if isinstance(code, str) and code in _ERRORS else _BY_NUMBER.get(int_of(code))
    if name is not None:
        return refused(operation, Refusal(name))
    if int_of(code) == 0:
        return {"code": 0, "message": SUCCESS}
    return _in_message(code, "UNDOCUMENTED_ERROR", "Erreur inconnue")


def int_of(code: str | int) -> int:
    """The number of a code, or -1 if it is none."""
    text = str(code)
    return int(text) if text.isascii() and text.isdigit() else -1


def is_code(text: str) -> bool:
    """Whether ``by_code`` has an answer for it: a number of up to 6 digits, or a known name."""
    return text in _ERRORS or (int_of(text) >= 0 and len(text) <= len("999999"))


def encode(answer: Json) -> str:
    """The JSON text, accents as they are."""
    return json.dumps(answer, ensure_ascii=False)


def encode_with_trailing_comma(answer: Json) -> str:
    """The JSON as the page prints its errors: indented, a comma before the last brace."""
    return json.dumps(answer, ensure_ascii=False, indent=4).removesuffix("\n}") + ",\n}"


def _in_message(code: str | int, name: str, description: str) -> Json:
    return {"code": code, "message": name, "description": description, "data": []}
