"""The endpoints of a verification: send a code, check it, look at it, cancel it."""

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from otpservice.config.settings import Settings
from otpservice.verification.errors import OutcomeUnknown, WrongCode
from otpservice.verification.idempotency import Finished
from otpservice.verification.ports import SendRequest, SendReservation, Verification
from otpservice.verification.service import Approved, Started, VerificationService
from otpservice.web.api.dryrun import asks_for_dry_run, dry_run
from otpservice.web.api.idempotency import Answer, Idempotency
from otpservice.web.api.intake import Guess, Intake
from otpservice.web.api.messages import Templates
from otpservice.web.api.schemas import ConfirmRequest, LoginCodeRequest, timestamp
from otpservice.web.context import caller, current_context
from otpservice.web.problems import PROBLEMS
from otpservice.web.requests import authenticated, load, read_fields

ROUTE = "Verification-Route"
"""The header that names the route an SMS was sent by; an answer given again does not have it."""

_SENT, _PERHAPS_SENT = 201, 202


def verifications_blueprint(
    service: VerificationService, intake: Intake, idempotency: Idempotency, settings: Settings
) -> Blueprint:
    """The four views over ``service``.

    Args:
        service: what they call.
        intake: reads and counts what is asked for.
        idempotency: answers a repeated Idempotency-Key without doing it again.
        settings: apps, routes and message templates.
    """
    blueprint = Blueprint("verifications", __name__)
    needs_verify = authenticated(settings.apps, "verify")
    _add_login_code(blueprint, service, intake, idempotency, settings)
    _add_confirm(blueprint, service, intake, idempotency, settings)

    @blueprint.get("/verifications/<id>")
    @needs_verify
    def show(id: str) -> ResponseReturnValue:
        held = service.status(caller().name, id)
        return _shown(held, service.delivery(held))

    @blueprint.delete("/verifications/<id>")
    @needs_verify
    def cancel(id: str) -> ResponseReturnValue:
        service.cancel(caller().name, id)
        context = current_context()
        context.decision, context.id = "verification_canceled", id
        return "", 204

    return blueprint


def _add_login_code(
    blueprint: Blueprint,
    service: VerificationService,
    intake: Intake,
    idempotency: Idempotency,
    settings: Settings,
) -> None:
    schema = LoginCodeRequest()
    templates = Templates(settings)

    def sent_again(
        finished: Finished,
        asked: SendRequest,
        locale: str | None,  # noqa: ARG001 - it takes what ``send`` takes
    ) -> Response:
        held = service.status(asked.owner.app, finished.id)
        return _sent(held, asked, finished.status)

    @idempotency.once(replay=sent_again)
    def send(asked: SendRequest, locale: str | None) -> Answer:
        app = caller()
        started = service.start(
            asked,
            sender_id=settings.sender_id_for(app),
            template=templates.text_for(app, locale),
            routes=app.routes or settings.routes,
        )
        _note_send(started, asked)
        answer = _sent(started.reservation, asked, _SENT if started.delivered else _PERHAPS_SENT)
        answer.headers[ROUTE] = started.route
        return Answer(answer, started.reservation.id)

    @blueprint.post("/login-code")
    @authenticated(settings.apps, "verify")
    def login_code() -> ResponseReturnValue:
        fields = read_fields(query={"dry_run"})
        body = load(schema, fields)
        if request.query_string and asks_for_dry_run(request.args):
            idempotency.require_key()
            routes = caller().routes or settings.routes
            return dry_run(lambda: service.preview(intake.send_request(body), routes=routes))
        return send(fields, intake.send_request(body), body.get("locale"))


def _note_send(started: Started, asked: SendRequest) -> None:
    context = current_context()
    context.route, context.country = started.route, asked.phone.country
    context.delivery = "sent" if started.delivered else "unknown"
    context.decision, context.id = "code_sent", started.reservation.id


def _add_confirm(
    blueprint: Blueprint,
    service: VerificationService,
    intake: Intake,
    idempotency: Idempotency,
    settings: Settings,
) -> None:
    schema = ConfirmRequest()

    def checked_again(finished: Finished, guess: Guess) -> Response:
        held = service.status(guess.owner.app, finished.id)
        if finished.status == PROBLEMS[WrongCode].status:
            raise WrongCode(held.id, held.attempts_left)
        if held.approved_at is None:
            raise OutcomeUnknown(held.id)
        return _approved(Approved(held.id, held.purpose, held.phone, held.approved_at))

    @idempotency.once(replay=checked_again)
    def check(guess: Guess) -> Answer:
        approved = service.check(guess.owner, guess.subject, guess.code, guess.address)
        context = current_context()
        context.confirmed_in = approved.phone.country
        context.decision, context.id = "code_confirmed", approved.id
        return Answer(_approved(approved), approved.id)

    @blueprint.post("/confirm")
    @authenticated(settings.apps, "verify")
    def confirm() -> ResponseReturnValue:
        fields = read_fields()
        return check(fields, intake.guess(load(schema, fields)))


def _sent(held: SendReservation | Verification, asked: SendRequest, status: int) -> Response:
    body = {
        "id": held.id,
        "status": "pending",
        "delivery": "sent" if status == _SENT else "unknown",
        "purpose": asked.owner.purpose,
        "phone_masked": asked.phone.masked,
        "expires_at": timestamp(held.expires_at),
        "resend_at": timestamp(held.resend_at),
        "attempts_left": held.attempts_left,
        "sends_left": held.sends_left,
    }
    response = jsonify(body)
    response.status_code = status
    response.headers["Location"] = f"/verifications/{held.id}"
    return response


def _approved(approved: Approved) -> Response:
    context = current_context()
    context.phone, context.purpose = approved.phone.masked, approved.purpose
    return jsonify(
        {
            "id": approved.id,
            "status": "approved",
            "purpose": approved.purpose,
            "phone": approved.phone.e164,
            "phone_masked": approved.phone.masked,
            "approved_at": timestamp(approved.approved_at),
        }
    )


def _shown(held: Verification, delivery: str | None) -> Response:
    body: dict[str, object] = {} if delivery is None else {"delivery": delivery}
    body |= {
        "id": held.id,
        "status": held.status,
        "purpose": held.purpose,
        "phone_masked": held.phone.masked,
        "expires_at": timestamp(held.expires_at),
        "resend_at": timestamp(held.resend_at),
        "attempts_left": held.attempts_left,
    }
    return jsonify(body)
