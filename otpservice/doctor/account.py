"""The account at VavaSMS, and what is sent under it: sender IDs and texts."""

from collections.abc import Iterator, Mapping
from contextlib import closing

from otpservice.app import prices, vavasms_client
from otpservice.config.settings import Settings
from otpservice.config.warnings import template_sizes, template_warnings
from otpservice.doctor.finding import Finding, Verdict
from otpservice.vavasms import (
    Balance,
    InvalidCredentials,
    InvalidSenderId,
    Nonsense,
    NumberRefused,
    OutcomeUnknown,
    Rejected,
    Unavailable,
    UnknownMessage,
    VavasmsError,
)


def provider_finding(settings: Settings) -> Finding:
    """The provider is asked for the balance and nothing else."""
    if not settings.vavasms_username:
        return Finding(Verdict.OK, "provider", "not asked: there is no account at VavaSMS")
    try:
        with closing(vavasms_client(settings)) as client:
            balance = client.balance()
    except VavasmsError as error:
        return Finding(Verdict.FAIL, "provider", provider_problem(error))
    if balance.amount <= 0:
        return Finding(
            Verdict.FAIL, "provider", f"takes the account, but {money(balance)} are left: top it up"
        )
    low = settings.low_balance_xof
    if low is not None and balance.amount < low:
        return Finding(
            Verdict.WARNING,
            "provider",
            f"takes the account, but only {money(balance)} are left, less than "
            f"OTPSERVICE_LOW_BALANCE_XOF, {low:,}: top it up",
        )
    sends = prices(settings).sends_left(balance)
    last = "" if sends is None else f", {sends:,} SMS with codes"
    return Finding(Verdict.OK, "provider", f"takes the account; {money(balance)} are left{last}")


def text_findings(settings: Settings) -> Iterator[Finding]:
    """Sender IDs, and what the linter says of each text."""
    names = {settings.sender_id_for(app) for app in settings.apps}
    known_by = "whether VavaSMS has it registered, the first SMS tells"
    if all(names):
        yield Finding(Verdict.OK, "sender id", f"{', '.join(sorted(names))}; {known_by}")
    elif settings.vavasms_username:
        yield Finding(Verdict.FAIL, "sender id", "missing: set OTPSERVICE_VAVASMS_SENDER_ID")
    warnings = template_warnings(settings)
    yield from (Finding(Verdict.WARNING, "templates", warning) for warning in warnings)
    yield from (Finding(Verdict.OK, "templates", line) for line in template_sizes(settings))


def money(balance: Balance) -> str:
    """An amount as people write it: ``25,540 XOF``. The CFA franc has no minor unit."""
    return f"{balance.amount:,} {balance.currency}"


_PROBLEMS: Mapping[type[Exception], str] = {
    InvalidCredentials: "VavaSMS refuses the account: check OTPSERVICE_VAVASMS_USERNAME and "
    "OTPSERVICE_VAVASMS_PASSWORD",
    InvalidSenderId: "VavaSMS refuses the sender ID: use one that is registered to the account",
    UnknownMessage: "VavaSMS knows no message with this id",
    NumberRefused: "VavaSMS refuses a number; nothing was sent",
    Rejected: "VavaSMS refuses the request; nothing was done",
    Unavailable: "VavaSMS cannot be reached; nothing was done: check OTPSERVICE_VAVASMS_URL and "
    "the network",
    Nonsense: "VavaSMS's answer says neither yes nor no; what was asked for may have been done",
    OutcomeUnknown: "VavaSMS's answer was lost; what was asked for may have been done",
}


def provider_problem(error: VavasmsError) -> str:
    """What a failed call means and what to do, in one line without secrets or numbers."""
    known = (_PROBLEMS[kind] for kind in type(error).__mro__ if kind in _PROBLEMS)
    return f"{next(known, 'VavaSMS says no')} ({error})"
