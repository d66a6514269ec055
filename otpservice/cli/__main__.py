"""``python -m otpservice.cli``."""

from otpservice.cli import main

main(prog_name="otpservice")
