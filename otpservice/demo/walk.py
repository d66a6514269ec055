"""One verification over HTTP, step by step, for somebody who watches."""

import json
import shlex
import textwrap
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import click
import urllib3

from otpservice.demo.processes import DemoFailed

# As people in Côte d'Ivoire write it, and as VavaSMS gets it.
_PHONE, _DIGITS = "07 09 00 00 01", "2250709000001"

_COLUMNS = 94


class Walk:
    """A caller of the service who also reads the SMS.

    Args:
        pool: what to ask through.
        service_url: without a slash at its end; so is the next.
        sandbox_url: where the SMS end up.
        key: the API key of an app.
        before_each: called before each step; may raise to end the walk.
    """

    def __init__(
        self,
        pool: urllib3.PoolManager,
        service_url: str,
        sandbox_url: str,
        key: str,
        before_each: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._login_code = f"{service_url}/login-code"
        self._confirm = f"{service_url}/confirm"
        self._inbox = f"{sandbox_url}/inbox.json?phone={_DIGITS}"
        self._key = key
        self._before_each = before_each
        self._number = 0

    def go(self) -> None:
        """Take all steps.

        Raises:
            DemoFailed: one of them did not come out as it should.
        """
        click.echo(f"\n  export KEY={self._key}")
        id, code = self._get_a_code()
        right = {"id": id, "code": code}
        wrong = {"id": id, "code": f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"}
        answer = self._step("Guess: a wrong code", self._confirm, wrong, 422, "wrong_code")
        self._see(answer.get("attempts_left") == 4, "attempts_left 4")  # noqa: PLR2004 - of 5
        self._say("A guess is counted before it is compared: nobody gets a sixth.")
        again = {"phone": f"+{_DIGITS}"}
        self._step("Ask for another SMS at once", self._login_code, again, 429, "resend_too_soon")
        self._say("However it is spelled, it is the same phone: nobody floods it.")
        answer = self._step("Type the right code", self._confirm, right, 200)
        self._see(answer.get("phone") == f"+{_DIGITS}", f"phone +{_DIGITS}")
        self._say("Whoever typed it holds this phone: log them in.")
        self._step("Replay it", self._confirm, right, 409, "already_confirmed")
        self._say("A verification succeeds exactly once.")
        click.secho(f"\nAll {self._number} steps came out as they should.", bold=True)

    def _get_a_code(self) -> tuple[str, str]:
        """The id of a new verification, and the code as the holder of the phone reads it."""
        phone = {"phone": _PHONE}
        title = "Ask for a code without an API key"
        self._step(title, self._login_code, phone, 401, "unauthorized", with_key=False)
        self._say("Only the organisation's apps can have SMS sent.")
        answer = self._step("Ask for a code with one", self._login_code, phone, 201)
        self._say("A number as people write it was understood, and its SMS is on its way.")
        title = "Read the SMS in the sandbox's inbox"
        messages = self._step(title, self._inbox, None, 200, with_key=False)
        self._see(len(messages) == 1, "one SMS")
        self._say("VavaSMS made this code; no answer of the service ever holds it.")
        return str(answer["id"]), str(messages[0]["code"])

    def _step(
        self,
        title: str,
        url: str,
        body: Mapping[str, str] | None,
        status: int,
        code: str | None = None,
        *,
        with_key: bool = True,
    ) -> Any:  # noqa: ANN401 - JSON of any shape
        """Show a request, make it, and show the answer, which must have this status and code."""
        self._before_each()
        self._number += 1
        click.secho(f"\n{self._number}. {title}", bold=True)
        click.echo(curl(url, body, with_key=with_key))
        got, answer = self._request(url, body, with_key=with_key)
        click.secho(f"  {got} {HTTPStatus(got).phrase}", fg="cyan")
        lines = textwrap.wrap(json.dumps(answer), _COLUMNS, break_on_hyphens=False)
        click.echo(textwrap.indent("\n".join(lines), "    "))
        self._see(got == status, f"status {status}")
        self._see(code is None or answer.get("code") == code, f"code {code}")
        return answer

    def _request(
        self, url: str, body: Mapping[str, str] | None, *, with_key: bool
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._key}"} if with_key else {}
        method = "GET" if body is None else "POST"
        try:
            response = self._pool.request(method, url, json=body, headers=headers)
            return response.status, response.json()
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise DemoFailed(f"No answer that can be read: {error}") from None

    def _see(self, right: bool, expected: str) -> None:
        if not right:
            raise DemoFailed(f"Step {self._number}: expected {expected}, got what stands above.")

    def _say(self, proved: str) -> None:
        click.echo(f"  {click.style('ok', fg='green')}  {proved}")


def curl(url: str, body: Mapping[str, str] | None, *, with_key: bool = True) -> str:
    """The command that makes a request: a POST of ``body``, if there is one.

    The API key is in ``$KEY``.
    """
    parts = [f"  curl {shlex.quote(url)}"]
    if with_key:
        parts.append('-H "Authorization: Bearer $KEY"')
    if body is not None:
        # curl has --json only since 7.82, which machines in use do not have yet.
        parts += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(body))}"]
    return " \\\n    ".join(parts)
