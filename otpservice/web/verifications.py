"""The endpoints of a verification: send a code, check it, look at it, cancel it."""

from datetime import datetime

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from otpservice.config.settings import Settings
from otpservice.verification.errors import OutcomeUnknown, WrongCode
from otpservice.verification.idempotency import Finished
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.ports import SendRequest, SendReservation, Verification
from otpservice.verification.service import VerificationService
from otpservice.web.answers import json_answer
from otpservice.web.current import caller, facts
from otpservice.web.dryrun import asks_for_dry_run, dry_run
from otpservice.web.idempotency import Answer, Once
from otpservice.web.intake import Intake
from otpservice.web.problems import PROBLEMS
from otpservice.web.requests import authenticated, load, read_fields
from otpservice.web.schemas import ConfirmRequest, LoginCodeRequest, timestamp

ROUTE = "Verification-Route"
"""The header that names the route an SMS was sent by; an answer given again does not have it."""

_SENT, _PERHAPS_SENT = 201, 202


def verifications_blueprint(
    service: VerificationService, intake: Intake, once: Once, settings: Settings
) -> Blueprint:
    """The four views over ``service``.

    Args:
        service: what they call.
        intake: reads and counts what is asked for.
        once: answers a repeated Idempotency-Key without doing it again.
        settings: apps, routes and message templates.
    """
    blueprint = Blueprint("verifications", __name__)
    needs_verify = authenticated(settings.apps, "verify")
    _add_login_code(blueprint, service, intake, once, settings)
    _add_confirm(blueprint, service, intake, once, settings)

    @blueprint.get("/verifications/<id>")
    @needs_verify
    def show(id: str) -> ResponseReturnValue:
        held = service.status(caller().name, id)
        return _shown(held, service.delivery(held))

    @blueprint.delete("/verifications/<id>")
    @needs_verify
    def cancel(id: str) -> ResponseReturnValue:
        service.cancel(caller().name, id)
        known = facts()
        known.decision, known.id = "verification_canceled", id
        return "", 204

    return blueprint


def _add_login_code(
    blueprint: Blueprint,
    service: VerificationService,
    intake: Intake,
    once: Once,
    settings: Settings,
) -> None:
    schema = LoginCodeRequest()

    @blueprint.post("/login-code")
    @authenticated(settings.apps, "verify")
    def login_code() -> ResponseReturnValue:
        fields = read_fields(query={"dry_run"})
        body = load(schema, fields)
        app = caller()
        routes = app.routes or settings.routes
        if request.query_string and asks_for_dry_run(request.args):
            once.require_key()
            return dry_run(lambda: service.preview(intake.send_request(body), routes=routes))
        asked = intake.send_request(body)

        def send() -> Answer:
            started = service.start(
                asked,
                sender_id=settings.sender_id_for(app),
                template=settings.template_for(app, body.get("locale")),
                routes=routes,
            )
            known = facts()
            known.route = started.route
            known.country = asked.phone.country
            known.delivery = "sent" if started.delivered else "unknown"
            known.decision, known.id = "code_sent", started.reservation.id
            status = _SENT if started.delivered else _PERHAPS_SENT
            answer = _sent(started.reservation, asked, status)
            answer.headers[ROUTE] = started.route
            return Answer(answer, started.reservation.id)

        def again(finished: Finished) -> Response:
            return _sent(service.status(caller().name, finished.id), asked, finished.status)

        return once.run(fields, send, again)


def _add_confirm(
    blueprint: Blueprint,
    service: VerificationService,
    intake: Intake,
    once: Once,
    settings: Settings,
) -> None:
    schema = ConfirmRequest()

    @blueprint.post("/confirm")
    @authenticated(settings.apps, "verify")
    def confirm() -> ResponseReturnValue:
        fields = read_fields()
        body = load(schema, fields)
        asked_by, subject = intake.subject(body)

        def check() -> Answer:
            approved = service.check(asked_by, subject, body["code"], intake.address(body))
            known = facts()
            known.confirmed_in = approved.phone.country
            known.decision, known.id = "code_confirmed", approved.id
            answer = _approved(approved.id, approved.purpose, approved.phone, approved.approved_at)
            return Answer(answer, approved.id)

        def again(finished: Finished) -> Response:
            held = service.status(caller().name, finished.id)
            if finished.status == PROBLEMS[WrongCode].status:
                raise WrongCode(held.id, held.attempts_left)
            if held.approved_at is None:
                raise OutcomeUnknown(held.id)
            return _approved(held.id, held.purpose, held.phone, held.approved_at)

        return once.run(fields, check, again)


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
    return json_answer(body, status, {"Location": f"/verifications/{held.id}"})


def _approved(id: str, purpose: str, phone: PhoneNumber, approved_at: datetime) -> Response:
    known = facts()
    known.phone, known.purpose = phone.masked, purpose
    body = {
        "id": id,
        "status": "approved",
        "purpose": purpose,
        "phone": phone.e164,
        "phone_masked": phone.masked,
        "approved_at": timestamp(approved_at),
    }
    return json_answer(body)


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
    return json_answer(body)
