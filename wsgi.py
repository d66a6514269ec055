"""The service for gunicorn: ``gunicorn -c deploy/gunicorn.conf.py wsgi:app``."""

# ruff: noqa: E402 - what is imported before the patch would block all requests when it waits
from gevent import monkey

monkey.patch_all()

from otpservice.runtime.serve import application

app = application()
