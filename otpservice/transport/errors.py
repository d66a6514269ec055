"""What a call that came to no complete answer may have done."""


class NoConnection(Exception):
    """No connection was made, so not one byte of the request left."""


class AnswerLost(Exception):
    """The request or a part of it may have left, and no complete answer came back.

    ``status`` is the answer's if its head was complete and only the body was lost; else None.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
