"""The local route over VavaSMS: it carries a text, and the code in it is ours."""

from otpservice.routes.vavasms_meaning import in_our_words
from otpservice.vavasms import VavasmsClient
from otpservice.verification.routes import OutgoingCode


class VavasmsTextRoute:
    """Sends by ``text/single``.

    What VavaSMS answered is the ``__cause__`` of every error it raises.

    Args:
        client: the account to use.
    """

    name = "vavasms-text"

    def __init__(self, client: VavasmsClient) -> None:
        self._client = client

    def send(self, message: OutgoingCode) -> str:
        """Have VavaSMS send the text to one number. See ``routes.Route.send``."""
        with in_our_words():
            receipt = self._client.send_text(
                sender_id=message.sender_id,
                phones=[message.phone.digits],
                message=message.text,
                within=message.seconds_left,
            )
        return receipt.message_ids[0]


class TracedTextRoute(VavasmsTextRoute):
    """The same where VavaSMS has told where to ask for an SMS's status."""

    def delivery(self, message_id: str) -> str:
        """VavaSMS's word for the state of an SMS. See ``routes.TracedRoute.delivery``."""
        with in_our_words():
            rows = self._client.text_status(message_id)
        return next((row.status for row in rows if row.message_id == message_id), "")
