"""The endpoints of a verification: send a code, check it, look at it, cancel it."""

from datetime import datetime

from flask import Blueprint, Response, g, make_response
from flask.typing import ResponseReturnValue

from otpservice.settings import Settings
from otpservice.verification.digest import Digester
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.ports import Owner, Verification
from otpservice.verification.service import Approved, Started, VerificationService
from otpservice.web.limits import Door
from otpservice.web.requests import Forbidden, authenticated, read_body
from otpservice.web.schemas import ConfirmRequest, LoginCodeRequest


def verifications_blueprint(
    service: VerificationService, door: Door, digester: Digester, settings: Settings
) -> Blueprint:
    """The four views over ``service``.

    Args:
        service: what they call.
        door: counts each request before it.
        digester: makes the buckets that requests are counted in.
        settings: apps, countries and message templates.
    """
    blueprint = Blueprint("verifications", __name__)
    login_code_request, confirm_request = LoginCodeRequest(), ConfirmRequest()
    needs_verify = authenticated(settings.apps, "verify")

    def read_phone(text: str) -> PhoneNumber:
        phone = PhoneNumber.parse(text, region=settings.default_region)
        g.phone = phone.masked
        return phone

    def owner(purpose: str) -> Owner:
        g.purpose = purpose
        if purpose not in g.app.purposes:
            raise Forbidden(f"This API key is not for the purpose {purpose!r}.")
        return Owner(g.app.name, purpose)

    @blueprint.post("/login-code")
    @needs_verify
    def login_code() -> ResponseReturnValue:
        body = read_body(login_code_request)
        phone = read_phone(body["phone"])
        phone.require_country(g.app.countries or settings.countries)
        asked_by = owner(body["purpose"])
        door.admit(digester.bucket("phone", phone.e164))
        started = service.start(
            asked_by,
            phone,
            sender_id=settings.sender_id_for(g.app),
            template=settings.template_for(g.app, body["locale"]),
            routes=g.app.routes or settings.routes,
        )
        g.route = started.route
        return _started(started, asked_by, phone)

    @blueprint.post("/confirm")
    @needs_verify
    def confirm() -> ResponseReturnValue:
        body = read_body(confirm_request)
        subject: str | PhoneNumber
        if "id" in body:
            subject, asked_by = body["id"], Owner(g.app.name, "")
            bucket = digester.bucket("id", body["id"])
        else:
            subject, asked_by = read_phone(body["phone"]), owner(body.get("purpose", "login"))
            bucket = digester.bucket("phone", subject.e164)
        door.admit(bucket)
        return _approved(service.check(asked_by, subject, body["code"]))

    @blueprint.get("/verifications/<id>")
    @needs_verify
    def show(id: str) -> ResponseReturnValue:
        return _shown(service.status(g.app.name, id))

    @blueprint.delete("/verifications/<id>")
    @needs_verify
    def cancel(id: str) -> ResponseReturnValue:
        service.cancel(g.app.name, id)
        return "", 204

    return blueprint


def _started(started: Started, owner: Owner, phone: PhoneNumber) -> Response:
    reservation = started.reservation
    body = {
        "id": reservation.id,
        "status": "pending",
        "delivery": "sent" if started.delivered else "unknown",
        "purpose": owner.purpose,
        "phone_masked": phone.masked,
        "expires_at": timestamp(reservation.expires_at),
        "resend_at": timestamp(reservation.resend_at),
        "attempts_left": reservation.attempts_left,
        "sends_left": reservation.sends_left,
    }
    location = {"Location": f"/verifications/{reservation.id}"}
    return make_response(body, 201 if started.delivered else 202, location)


def _approved(approved: Approved) -> ResponseReturnValue:
    g.phone, g.purpose = approved.phone.masked, approved.purpose
    return {
        "id": approved.id,
        "status": "approved",
        "purpose": approved.purpose,
        "phone": approved.phone.e164,
        "phone_masked": approved.phone.masked,
        "approved_at": timestamp(approved.approved_at),
    }


def _shown(verification: Verification) -> ResponseReturnValue:
    return {
        "id": verification.id,
        "status": verification.status,
        "purpose": verification.purpose,
        "phone_masked": verification.phone.masked,
        "expires_at": timestamp(verification.expires_at),
        "resend_at": timestamp(verification.resend_at),
        "attempts_left": verification.attempts_left,
    }


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: ``2026-11-22T16:00:00.000Z``."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
