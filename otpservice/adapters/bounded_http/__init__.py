"""One POST over HTTP: within its deadline, to nobody else, and never twice.

What providers' HTTP APIs are asked through: ``Transport`` says for sure whether a request can have
left, which an SMS that costs money and a guess that counts depend on.
"""

from otpservice.adapters.bounded_http.transport import (
    NOT_DONE,
    TURNED_AWAY,
    AnswerLost,
    NoConnection,
    Reply,
    Transport,
)

__all__ = ["NOT_DONE", "TURNED_AWAY", "AnswerLost", "NoConnection", "Reply", "Transport"]
