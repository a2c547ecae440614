"""Errors of services: which reject what they were sent, and which may pass.

There are three kinds. A rejection (some rows are invalid) is final. A transient error (an outage, a quota, a lost
connection, a missing permission, a missing table) says nothing about the rows. Any other error is a bug.
"""

from collections.abc import Mapping
from typing import Any

import google.auth.exceptions
import grpc
import requests
from google.api_core.exceptions import GoogleAPICallError

_REFUSING_GRPC = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE)
REFUSING_CODES = frozenset(code.value[0] for code in _REFUSING_GRPC)
_REFUSING_HTTP = (400, 413)
# Source: https://cloud.google.com/bigquery/docs/error-messages. Some occur with status 400, or for a single row.
TRANSIENT_REASONS = frozenset(
    {
        "backendError",
        "internalError",
        "jobRateLimitExceeded",
        "quotaExceeded",
        "rateLimitExceeded",
        "resourcesExceeded",
        "stopped",
        "tableUnavailable",
        "timeout",
    }
)


class Refused(Exception):
    """These rows cannot be sent together, whatever the sink is like; some of them may be fine separately."""


class RefusedBySink(Exception):
    """The sink rejects these rows together. Some of them may be invalid, or the sink accepts no rows at all."""


class Transient(Exception):
    """The sink may accept these rows later."""


# Whatever a service says may change: an administrator can grant a permission or create a table meanwhile.
_TRANSIENT = (
    Transient,
    grpc.RpcError,
    GoogleAPICallError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    google.auth.exceptions.GoogleAuthError,
    ConnectionError,
)


def is_refusal(error: Exception) -> bool:
    """Whether the service rejects what the request that failed with `error` holds, or some of it."""
    if isinstance(error, grpc.RpcError):
        return error.code() in _REFUSING_GRPC
    if isinstance(error, GoogleAPICallError):
        # FAILED_PRECONDITION also maps to HTTP 400, but its causes, such as a disabled key, are not in the rows.
        if error.grpc_status_code is not None:
            return error.grpc_status_code in _REFUSING_GRPC
        return error.code in _REFUSING_HTTP and not TRANSIENT_REASONS & {_reason(item) for item in error.errors}
    return isinstance(error, RefusedBySink)


def is_transient(error: BaseException) -> bool:
    """Whether the service may do later what it refused with `error`, for instance once a permission is granted."""
    return isinstance(error, _TRANSIENT) and not is_refusal(error)


def _reason(item: Any) -> str:
    return str(item.get("reason", "")) if isinstance(item, Mapping) else ""


def text_of(error: Exception) -> str:
    """What an error says, on one line."""
    if isinstance(error, grpc.RpcError):
        text = f"{error.code().name}: {error.details()}"
    elif isinstance(error, (Refused, RefusedBySink, Transient)):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())
