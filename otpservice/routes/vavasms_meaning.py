"""What VavaSMS answered, in the domain's words: where both its routes leave its vocabulary."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from otpservice import vavasms
from otpservice.verification import errors

_MEANING: Mapping[type[Exception], type[errors.ProviderError]] = {
    vavasms.Rejected: errors.ProviderRejected,
    vavasms.Unavailable: errors.ProviderUnavailable,
    vavasms.NumberRefused: errors.NumberRefused,
    # An expired code is a wrong one to the outside: EXPIRED_OTP says that the guess was right.
    vavasms.WrongCode: errors.CodeRefused,
    vavasms.OtpNotFound: errors.CodeForgotten,
    vavasms.OutcomeUnknown: errors.OutcomeUnknown,
}

# What is wrong with one sender ID, one number or one guess, in answer to whatever was asked.
_ONE_CALLERS_CODES = (902, 903, 913)
_ONE_CALLERS_NAMES = ("INVALID_SENDER_ID", "INVALID_PHONE_NUMBER", "INVALID_OTP")


@contextmanager
def in_our_words() -> Iterator[None]:
    """Turn a ``VavasmsError`` into the ``ProviderError`` it means; it is that one's cause."""
    try:
        yield
    except vavasms.VavasmsError as error:
        known = next(kind for kind in type(error).__mro__ if kind in _MEANING)
        raise _MEANING[known] from error


def concerns_every_call(error: errors.ProviderError) -> bool:
    """Whether VavaSMS said that it will not take any call of ours until somebody changes that."""
    return isinstance(error.__cause__, vavasms.InvalidCredentials)


def concerns_one_caller(error: errors.ProviderError) -> bool:
    """Whether VavaSMS said what was wrong with this one call, and so is well itself."""
    cause = error.__cause__
    return isinstance(cause, vavasms.VavasmsError) and (
        cause.code in _ONE_CALLERS_CODES or cause.name in _ONE_CALLERS_NAMES
    )


def concerns_one_sender(error: errors.ProviderError) -> bool:
    """Whether VavaSMS does not know the sender ID."""
    return isinstance(error.__cause__, vavasms.InvalidSenderId)
