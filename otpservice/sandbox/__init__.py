"""The VavaSMS sandbox: a stateful, strict stand-in for the provider's HTTP API.

It imports nothing of the service, so that a misreading of the provider's page in one cannot hide
the same misreading in the other.
"""

from otpservice.sandbox.account import DEMO_ACCOUNT, Account
from otpservice.sandbox.app import create_app, state_of
from otpservice.sandbox.server import SandboxServer
from otpservice.sandbox.state import State

__all__ = ["DEMO_ACCOUNT", "Account", "SandboxServer", "State", "create_app", "state_of"]
