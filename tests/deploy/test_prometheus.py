"""deploy/prometheus.yml and deploy/alerts.yml; tests/web/test_metrics.py looks into the rules."""

import shutil
import subprocess

import pytest
import yaml

from tests.deploy.conftest import DEPLOY, compose

needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="no promtool on this machine"
)


def test_prometheus_reads_what_its_container_has():
    read = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    (job,) = read["scrape_configs"]
    service = compose()["services"]["prometheus"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{service['secrets'][0]}"
    mounted = {mount.split(":")[0] for mount in service["volumes"]}
    assert {f"./{name}" for name in (*read["rule_files"], "prometheus.yml")} <= mounted
    assert job["static_configs"] == [{"targets": ["service:8000"]}]


@needs_promtool
@pytest.mark.parametrize(
    "words", [["config", "--syntax-only", "prometheus.yml"], ["rules", "alerts.yml"]]
)
def test_promtool_understands_them(words):
    done = subprocess.run(["promtool", "check", *words], cwd=DEPLOY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
