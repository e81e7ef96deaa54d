"""Health checks of the containers: one cheap question to a service, without importing Dagster.

`python -m churn_platform.probe http://127.0.0.1:3002/livez` asks a web server,
`grpc://127.0.0.1:4000` a Dagster code server, and `postgresql://churn@postgres:5432/dagster`
the last heartbeat of Dagster's daemon in its storage.
"""

import sys
import time
import urllib.request

SECONDS = 8
HEARTBEAT_SECONDS = 180
"""The daemon writes one every 30 seconds. The exporter waits as long, see `alerting/metrics.py`."""
DAGSTER_SERVICE = b"\n\nDagsterApi"
"""The request of gRPC's health protocol for Dagster's service, and the answer when it serves.
"""
SERVING = b"\x08\x01"


def why_not_healthy(address: str) -> str:
    """Why the service at `address` is not healthy; empty when it is.

    Raises:
        Exception: the service cannot be reached; each client has errors of its own.
    """
    if address.startswith("grpc://"):
        return _why_code_server_not_healthy(address.removeprefix("grpc://"))
    if address.startswith("postgresql://"):
        return _why_daemon_not_healthy(address)
    with urllib.request.urlopen(address, timeout=SECONDS):  # noqa: S310 - the address is written in compose.yaml
        return ""


def _why_code_server_not_healthy(target: str) -> str:
    import grpc

    with grpc.insecure_channel(target) as channel:
        answer = channel.unary_unary("/grpc.health.v1.Health/Check")(
            DAGSTER_SERVICE, timeout=SECONDS
        )
    if answer == SERVING:
        return ""
    return f"The code server at {target} answers that it does not serve."


def _why_daemon_not_healthy(database: str) -> str:
    import psycopg2

    connection = psycopg2.connect(database, connect_timeout=SECONDS)  # password: PGPASSWORD
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT max((body::json->>'timestamp')::float8) FROM daemon_heartbeats")
            [newest] = cursor.fetchone()
    finally:
        connection.close()
    if newest is None:
        return "Dagster's daemon has not written a heartbeat yet."
    age = time.time() - newest
    if age > HEARTBEAT_SECONDS:
        return f"The last heartbeat of Dagster's daemon is {age:.0f} s old."
    return ""


def main(arguments: list[str]) -> int:
    """Exit code 0 when the service at the one address is healthy, else 1 with the reason."""
    try:
        [address] = arguments
        reason = why_not_healthy(address)
    except Exception as error:  # noqa: BLE001 - whatever is wrong, the service is not healthy
        reason = f"{type(error).__name__}: {error}"
    if reason:
        sys.stderr.write(f"{reason}\n")
    if reason:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
