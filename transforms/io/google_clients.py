"""BigQuery clients, created once per process, which connect to emulators if the environment names them.

BIGQUERY_EMULATOR_HOST (REST) and BIGQUERY_STORAGE_EMULATOR_HOST (gRPC) have the form `host:port`. Connections to an
emulator use neither credentials nor TLS.
"""

import functools
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, BigQueryWriteClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport

REST_EMULATOR = "BIGQUERY_EMULATOR_HOST"
STORAGE_EMULATOR = "BIGQUERY_STORAGE_EMULATOR_HOST"

_CHANNEL_OPTIONS = (
    # Detects a peer that disappeared silently within minutes; TCP alone would take much longer.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # With gRPC's default of two minutes, the wait could go on long after a short outage has ended.
    ("grpc.max_reconnect_backoff_ms", 10_000),
)
_NO_MESSAGE_LIMIT = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))

T = TypeVar("T")


def once_per_process(make: Callable[..., T]) -> Callable[..., T]:
    """Like functools.cache, but threads that ask for the same thing at the same time share one, too."""
    lock, cached = threading.Lock(), functools.cache(make)

    @functools.wraps(make)
    def get(*arguments: Any) -> T:
        with lock:
            return cached(*arguments)

    return get


def emulator_address(variable: str) -> str | None:
    """The `host:port` in the environment variable `variable`, without scheme or trailing slash; None if it is not set.

    Raises:
        ValueError: if the value is not of the form `host:port`.
    """
    given = os.environ.get(variable, "").strip()
    if not given:
        return None
    address = given.removeprefix("http://").rstrip("/")
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal()) or "/" in address:
        raise ValueError(f"expected {variable} as host:port, got {given!r}; set it to 127.0.0.1:9050, say, or unset it")
    return address


def missing_rights(name: str, rights: Iterable[str]) -> ValueError:
    """The error for an account that lacks `rights`, which are permissions, on the resource `name`."""
    return ValueError(
        f"expected the right {' and '.join(sorted(rights))} on {name}, which this account lacks; grant it a role that "
        "has it, or use another account"
    )


def _bigquery_address(variable: str, other: str) -> str | None:
    address = emulator_address(variable)
    if address is None and emulator_address(other) is not None:
        # An incomplete test setup must not write to a real project.
        raise ValueError(f"expected {variable} beside {other}, got only the latter; set both or neither")
    return address


def bigquery_client(project: str) -> bigquery.Client:
    """This process's client of BigQuery's REST API for `project`."""
    return _bigquery_client(project, _bigquery_address(REST_EMULATOR, STORAGE_EMULATOR))


def bigquery_write_client() -> BigQueryWriteClient:
    """This process's client of BigQuery's Storage Write API."""
    return _storage_client(
        BigQueryWriteClient, BigQueryWriteGrpcTransport, _bigquery_address(STORAGE_EMULATOR, REST_EMULATOR)
    )


def bigquery_read_client() -> BigQueryReadClient:
    """This process's client of BigQuery's Storage Read API."""
    return _storage_client(
        BigQueryReadClient, BigQueryReadGrpcTransport, _bigquery_address(STORAGE_EMULATOR, REST_EMULATOR)
    )


@once_per_process
def _bigquery_client(project: str, address: str | None) -> bigquery.Client:
    if address is None:
        return bigquery.Client(project)
    return bigquery.Client(
        project, credentials=AnonymousCredentials(), client_options={"api_endpoint": f"http://{address}"}
    )


@once_per_process
def _storage_client(client: Any, transport: Any, address: str | None) -> Any:
    if address is not None:
        channel = grpc.insecure_channel(address, [*_NO_MESSAGE_LIMIT, *_CHANNEL_OPTIONS])
        return client(transport=transport(channel=channel))

    def channel_with_options(host: str, options: Any = (), **settings: Any) -> grpc.Channel:
        return transport.create_channel(host, options=[*options, *_CHANNEL_OPTIONS], **settings)

    return client(transport=transport(channel=channel_with_options))
