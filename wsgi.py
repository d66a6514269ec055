"""The service for any WSGI server: ``gunicorn -c deploy/gunicorn.conf.py wsgi:app``."""

from otpservice.server import application

app = application()
