"""What any such service pays: Flask, JSON in and out, one script in Redis, perhaps one POST.

Run under the very gunicorn settings of the service: ``python -m bench.floor PORT PROVIDER_PORT``.
"""

# ruff: noqa: E402 - what is imported before the patch would block all requests when it waits
from gevent import monkey

monkey.patch_all()

import sys

import urllib3
from flask import Flask, jsonify, request
from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from otpservice.config.settings import Settings
from otpservice.runtime.serve import Server, gunicorn_settings, settings_or_exit

_SCRIPT = """
local n = redis.call('INCR', KEYS[1])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return { 'ok', n }
"""

# What the service's own POST of otp/send carries.
_FIELDS = {
    "username": "bench@example.com",
    "password": "bench-password",
    "sender_id": "BENCH",
    "otp_length": "6",
    "otp_expiry": "5",
    "message": "Votre code OTP est : ##OTP##",
}


def floor_app(settings: Settings, provider_port: int) -> Flask:
    """Two views: ``/floor`` and ``/floor-post``."""
    app = Flask("floor", static_folder=None)
    script = _redis(settings.redis_url).register_script(_SCRIPT)
    # As many connections as the service keeps.
    pool = urllib3.PoolManager(maxsize=500, retries=False, timeout=10)

    @app.post("/floor")
    def floor() -> object:
        phone = request.get_json()["phone"]
        return jsonify({"count": script([f"floor:{phone}"], [60_000])[1]}), 201

    @app.post("/floor-post")
    def floor_post() -> object:
        phone = request.get_json()["phone"]
        count = script([f"floor:{phone}"], [60_000])[1]
        url = f"http://127.0.0.1:{provider_port}/api/v1/otp/send"
        answer = pool.request(
            "POST", url, fields={**_FIELDS, "phone": phone}, encode_multipart=False
        )
        return jsonify({"count": count, "message_id": answer.json()["data"]["message_id"]}), 201

    return app


def _redis(url: str) -> Redis:
    """redis-py as it is, with the service's patience: what runs, runs once."""
    pool = BlockingConnectionPool.from_url(
        url, max_connections=16, socket_timeout=0.25, retry=Retry(NoBackoff(), 0), protocol=2
    )
    return Redis.from_pool(pool)


if __name__ == "__main__":
    own = settings_or_exit()
    port, provider = sys.argv[1:]
    options = gunicorn_settings(own, bind=f"127.0.0.1:{port}", workers=1)
    Server(lambda: floor_app(own, int(provider)), options).run()
