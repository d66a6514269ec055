"""For ``gunicorn -c deploy/gunicorn.conf.py wsgi:app``; `otpservice serve` needs no file.

The settings and their reasons are in ``otpservice/runtime/serve.py``. What is given on gunicorn's
command line, such as ``--bind`` and ``--workers``, wins.
"""

# ruff: noqa: E402 - what is imported before the patch would block all requests when it waits
from gevent import monkey

monkey.patch_all()

from otpservice.telemetry import metric_files

metric_files.make_directory()  # before prometheus_client, which looks for it when imported

from otpservice.runtime.serve import gunicorn_settings, settings_once

globals().update(gunicorn_settings(settings_once()))
