"""deploy/Dockerfile and what it installs; no engine builds it here."""

import fnmatch
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import venv

import pytest
import urllib3
from packaging.requirements import Requirement
from setuptools.config.setupcfg import read_configuration

from tests.deploy.conftest import DEPLOY, ROOT, inherited
from tests.e2e.conftest import free_port

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
PINS = re.compile(r"^([\w.-]+)==([\w.]+)", re.MULTILINE)
PINNED = dict(PINS.findall((DEPLOY / "requirements.txt").read_text()))


def instructions(text=DOCKERFILE):
    """(instruction, the rest of its lines) without comments."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    joined = lines.replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line]


def last_stage():
    words = instructions()
    return words[max(n for n, (name, _) in enumerate(words) if name == "FROM") :]


def argument(name):
    (text,) = [rest for word, rest in last_stage() if word == name]
    return text


def install_requires():
    return read_configuration(ROOT / "setup.cfg")["options"]["install_requires"]


@pytest.mark.parametrize("line", install_requires())
def test_what_setup_cfg_needs_is_pinned_at_a_version_that_does(line):
    wanted = Requirement(line)
    assert wanted.specifier.contains(PINNED[wanted.name])


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-build.txt"])
def test_every_pin_has_hashes_and_no_index_is_named(name):
    text = (DEPLOY / name).read_text()
    pins = [pin for pin in re.split(r"\n(?=\w)", text.split("requirements\n", 1)[1]) if pin]
    assert pins
    assert all("--hash=sha256:" in pin for pin in pins)
    assert not re.search(r"https?:|--(extra-)?index|--find-links", text)


def test_pip_checks_hashes_and_builds_nothing_of_others():
    installs = [rest for name, rest in instructions() if name == "RUN" and "pip" in rest]
    for command in " && ".join(installs).split(" && "):
        if " -r " in command:
            assert "--require-hashes" in command
            assert "--only-binary :all:" in command
        elif "-m pip " in command:
            assert "--no-deps" in command
            assert "--no-index" in command


def test_the_base_has_a_tag_and_nothing_is_fetched():
    words = instructions()
    (base,) = [rest.partition("=")[2] for name, rest in words if name == "ARG"]
    assert re.fullmatch(r"python:3\.\d+-slim(@sha256:[0-9a-f]{64})?", base)
    assert {rest.split()[0] for name, rest in words if name == "FROM"} == {"${BASE}"}
    assert not {"ADD", "ONBUILD", "VOLUME"} & {name for name, _ in words}
    assert not re.search(r"curl|wget|git clone|apt-get", DOCKERFILE)


def test_it_runs_as_a_number_that_is_not_root_and_without_a_shell():
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", argument("USER"))
    names = [name for name, _ in last_stage()]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert not {"RUN", "ARG"} & set(names)
    assert json.loads(argument("ENTRYPOINT")) + json.loads(argument("CMD"))[:1] == [
        "otpservice",
        "serve",
    ]
    assert argument("STOPSIGNAL") == "SIGTERM"


def test_the_builder_is_sent_what_is_copied_and_no_secret():
    sent = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    ]
    copied = {
        word
        for name, rest in instructions()
        if name == "COPY" and not rest.startswith("--from")
        for word in rest.split()[:-1]
    }
    assert copied == set(sent)
    assert all((ROOT / path).exists() for path in sent)
    assert not any(fnmatch.fnmatch("deploy/secrets/secret-key", path) for path in sent)


@pytest.mark.skipif(not shutil.which("hadolint", path=sys.prefix + "/bin"), reason="no hadolint")
def test_hadolint_has_nothing_to_say():
    command = [f"{sys.prefix}/bin/hadolint", "--failure-threshold", "info", DEPLOY / "Dockerfile"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == ""


def probe(port):
    """The healthcheck's exit code."""
    words = json.loads(argument("HEALTHCHECK").partition(" CMD ")[2])
    assert words.pop(0) == "python"
    words = [word.replace("8000", str(port)) for word in words]
    return subprocess.run([sys.executable, *words], capture_output=True, timeout=20).returncode


READ_ONLY = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
REMOUNT = "mount -o remount,bind,ro / && ! touch {here} 2>/dev/null && exec {command}"


def read_only_root(command, here):
    """``command`` where nothing can be written but what is mounted by itself, as /dev/shm is."""
    return [*READ_ONLY, REMOUNT.format(here=shlex.quote(str(here)), command=shlex.join(command))]


def can_be_read_only(path):
    if not shutil.which("unshare"):
        return False
    return not subprocess.run(read_only_root(["true"], path / "x"), capture_output=True).returncode


def notified(listener):
    listener.settimeout(30)
    return listener.recv(4096).decode()


def test_gunicorn_runs_with_a_read_only_root_and_the_settings_of_deploy(stack, tmp_path, secrets):
    if not can_be_read_only(tmp_path):
        pytest.skip("this machine allows no user namespaces, or /tmp is a mount of its own")
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", str(DEPLOY / "gunicorn.conf.py")]
    command += ["wsgi:app", "--chdir", str(ROOT), "--bind", f"127.0.0.1:{port}", "--workers", "2"]
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with unix as listener, (tmp_path / "log").open("wb") as log:
        listener.bind(str(tmp_path / "notify"))
        environment = {**inherited(), **stack, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with subprocess.Popen(
            read_only_root(command, tmp_path / "x"),
            env={**environment, "TMPDIR": "/dev/shm", "PYTHONDONTWRITEBYTECODE": "1"},
            stderr=log,
        ) as process:
            try:
                assert "READY=1" in notified(listener)
                assert until_well(port)
                key = (secrets / "metrics-key").read_text()
                assert b"otpservice_requests_total" in metrics(port, key)
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0
            finally:
                process.kill()
    assert probe(port) != 0


def until_well(port):
    return any(probe(port) == 0 for _ in range(50))


def metrics(port, key):
    with urllib3.PoolManager() as pool:
        bearer = {"Authorization": f"Bearer {key}", "Connection": "close"}
        for _ in range(2):  # what the first scrape counts the second tells
            answer = pool.request("GET", f"http://127.0.0.1:{port}/metrics", headers=bearer)
    return answer.data


def test_where_nothing_can_be_written_doctor_says_that_workers_cannot_count(stack, tmp_path):
    if not can_be_read_only(tmp_path):
        pytest.skip("this machine allows no user namespaces, or /tmp is a mount of its own")
    command = read_only_root(
        [sys.executable, "-m", "otpservice.cli", "doctor", "--json"], tmp_path / "x"
    )
    # Nothing mounted by itself may be found by tempfile either: it looks in the working directory.
    done = subprocess.run(
        command, env={**inherited(), **stack, "TMPDIR": "/proc"}, capture_output=True, cwd=ROOT
    )
    found = {f["name"]: f["verdict"] for f in json.loads(done.stdout)["findings"]}
    assert found["metrics_files"] == "fail"
    assert done.returncode == 1


@pytest.mark.slow  # asks the package index for everything
def test_the_pins_install_with_their_hashes_and_doctor_runs(stack, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--require-hashes"]
    for name in ("requirements.txt", "requirements-build.txt"):
        pins = ["--only-binary", ":all:", "-r", DEPLOY / name]
        subprocess.run([*pip, *pins], check=True, capture_output=True)
    shutil.copytree(ROOT / "otpservice", tmp_path / "otpservice")
    for name in ("setup.py", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    own = [*pip[:-1], "--no-deps", "--no-index", "--no-build-isolation", "."]
    subprocess.run(own, check=True, capture_output=True, cwd=tmp_path)
    command = [tmp_path / "venv" / "bin" / "otpservice", "doctor", "--json"]
    done = subprocess.run(command, env={**inherited(), **stack}, capture_output=True, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
