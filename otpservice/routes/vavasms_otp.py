"""The hosted route: VavaSMS makes the code, sends it and compares the guess."""

from otpservice.routes.vavasms_meaning import in_our_words
from otpservice.vavasms import VavasmsClient
from otpservice.verification.code import Code
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.routes import OutgoingCode


class VavasmsOtpRoute:
    """Sends by ``otp/send`` and checks by ``otp/verify``.

    What VavaSMS answered is the ``__cause__`` of every error it raises.

    Args:
        client: the account to use.
        sender_id: named in checks, if the client is set to name one there.
    """

    name = "vavasms-otp"

    def __init__(self, client: VavasmsClient, *, sender_id: str | None = None) -> None:
        self._client = client
        self._sender_id = sender_id

    def send(self, message: OutgoingCode) -> str:
        """Have VavaSMS make a code and send it. See ``routes.Route.send``."""
        with in_our_words():
            receipt = self._client.send_otp(
                sender_id=message.sender_id,
                phone=message.phone.digits,
                message=message.template,
                length=message.length,
                # Up: the provider must not forget a code we still take. Ours ends it in time.
                expiry_minutes=-(-message.ttl // 60),
                within=message.seconds_left,
            )
        return receipt.message_id

    def check(self, phone: PhoneNumber, code: Code) -> None:
        """Have VavaSMS compare ``code``. See ``routes.Route.check``."""
        with in_our_words():
            self._client.verify_otp(phone=phone.digits, code=code.digits, sender_id=self._sender_id)
