"""What deploy/README.md says of doctor and of commands by hand is so."""

import re
import subprocess
import sys

from tests.deploy.conftest import DEPLOY
from tests.test_doctor import CHECKS

PAGE = (DEPLOY / "README.md").read_text()


def test_every_check_of_doctor_is_in_its_table():
    table = PAGE.split("## doctor")[1].split("```")[0]
    first_cells = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    told = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert told == CHECKS


def test_commands_by_hand_have_the_settings_of_the_unit(secrets, tmp_path):
    program = tmp_path / "otpservice"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m otpservice.cli "$@"\n')
    program.chmod(0o755)
    for path in secrets.iterdir():
        (tmp_path / path.name).symlink_to(path)
    settings = "OTPSERVICE_VAVASMS_SENDER_ID=Portal\nOTPSERVICE_CODE_TTL=0\n"
    (tmp_path / "otpservice.env").write_text(settings)
    text = re.search(r"^otps\(\) \(.*?^\)", PAGE, re.MULTILINE | re.DOTALL)[0]
    text = text.replace("/etc/otpservice", str(tmp_path))
    text = text.replace("/opt/otpservice/bin/otpservice", str(program))
    done = subprocess.run(["sh", "-c", f"{text}\notps doctor"], capture_output=True, text=True)
    (line,) = done.stdout.splitlines()
    assert "OTPSERVICE_CODE_TTL" in line
