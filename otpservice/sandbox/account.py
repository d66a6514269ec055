"""The one customer the sandbox knows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """A customer's credentials, names and money.

    Attributes:
        username: the account's e-mail address.
        password: in clear, as the API takes it; an invented one.
        sender_ids: the names registered to it.
        balance: what it starts with, in whole ``currency`` (25540 is the page's own sample).
        currency: XOF, the only one the page names; it has no minor unit.
        price: of one SMS part. The page names no price: 20 is our guess.
    """

    username: str = "demo@example.com"
    password: str = "demo-password"
    sender_ids: tuple[str, ...] = ("DEMO",)
    balance: int = 25_540
    currency: str = "XOF"
    price: int = 20


DEMO_ACCOUNT = Account()
