"""A stand-in for Google's services, just enough for a launch to reach its end: what it uploads and submits is kept."""

import base64
import email
import hashlib
import http.server
import json
import pathlib
import re
import threading
import urllib.parse
from collections.abc import Mapping, Sequence
from concurrent import futures
from types import TracebackType
from typing import Any

import google_crc32c
import grpc
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from transforms.schema import EMBEDDING_COLUMNS, JOURNAL_COLUMNS, bigquery_schema

_NOT_FOUND: dict[str, Any] = {"error": {"code": 404, "message": "not found"}}
_FORBIDDEN: dict[str, Any] = {"error": {"code": 403, "message": "may not list"}}


class FakeGoogle:
    """Cloud Storage with one object to read, BigQuery with two tables, and Pub/Sub that lets nobody look.

    The tables are "written", with the columns of rows, and "written_journal", whatever their project and dataset.

    Attributes:
        files: what can be read from Cloud Storage, by object name.
        uploads: what was written to Cloud Storage, by object name.
        tables: BigQuery tables that were made.
        jobs: names of Dataflow jobs that run; None lets nobody list them.
        calls: every HTTP request, as "METHOD path".
    """

    def __init__(self, files: Mapping[str, bytes] = {}, jobs: Sequence[str] | None = ()) -> None:
        self.files = files
        self.jobs = jobs
        self.uploads: dict[str, bytes] = {}
        self.tables: list[str] = []
        self.calls: list[str] = []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers["Content-Length"] or 0)))

            def do_PUT(self) -> None:
                self.do_POST()

            def _answer(self, body: bytes) -> None:
                fake.calls.append(f"{self.command} {self.path}")
                answer = fake.answer(self.command, self.path, self.headers.get("Content-Type", ""), body) or _NOT_FOUND
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(200 if isinstance(answer, bytes) else answer.get("error", {"code": 200})["code"])
                self.send_header("Content-Type", "application/json")
                if "uploadType=resumable" in self.path:
                    name = urllib.parse.quote(json.loads(body)["name"])
                    self.send_header("Location", f"http://{self.headers['Host']}/upload/?name={name}")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._grpc = grpc.server(futures.ThreadPoolExecutor(2), handlers=[_Refusing()])
        self._grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> "FakeGoogle":
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self._grpc.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(None)

    @property
    def address(self) -> str:
        """Where HTTP is answered."""
        return f"localhost:{self._http.server_port}"

    def environment(self, folder: pathlib.Path) -> dict[str, str]:
        """The variables that send Google's clients here, with a key made in `folder`."""
        http_address = f"127.0.0.1:{self._http.server_port}"
        key = rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {
            "type": "service_account",
            "project_id": "my-project",
            "client_email": "someone@my-project.iam.gserviceaccount.com",
            "private_key": key.decode(),
            "token_uri": f"http://{http_address}/token",
        }
        (folder / "credentials.json").write_text(json.dumps(account))
        return {
            "STORAGE_EMULATOR_HOST": f"http://{http_address}",
            "BIGQUERY_EMULATOR_HOST": http_address,
            "BIGQUERY_STORAGE_EMULATOR_HOST": http_address,
            "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{self._grpc_port}",
            "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "credentials.json"),
        }

    def answer(self, method: str, path: str, content_type: str, body: bytes) -> dict[str, Any] | bytes | None:
        """What a service answers; None for what is not there."""
        path, _, query = path.partition("?")
        if path == "/token":
            return {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}
        if path.startswith("/v1b3/"):
            if self.jobs is None:
                return _FORBIDDEN
            return {"jobs": [{"id": f"id of {n}", "name": n, "currentState": "JOB_STATE_RUNNING"} for n in self.jobs]}
        if "/bigquery/" in path:
            if method == "GET":
                project, _, dataset, _, table = path.split("/")[-5:]
                reference = {"projectId": project, "datasetId": dataset, "tableId": table}
                columns = {"written": EMBEDDING_COLUMNS, "written_journal": JOURNAL_COLUMNS}.get(table)
                found = {"tableReference": reference, "schema": bigquery_schema(columns or ()), "type": "TABLE"}
                return found if columns else None
            table = json.loads(body)
            self.tables.append(table["tableReference"]["tableId"])
            return dict(table)
        if "uploadType=resumable" in query:
            return self._object(json.loads(body)["name"])
        if path.startswith("/upload/"):
            name = urllib.parse.parse_qs(query).get("name", [""])[0]
            if content_type.startswith("multipart/related"):
                whole: Any = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
                described, content = whole.get_payload()
                name, body = json.loads(described.get_payload())["name"], content.get_payload(decode=True)
            self.uploads[name] = body
            checksums = {"crc32c": _base64(google_crc32c.Checksum(body)), "md5Hash": _base64(hashlib.md5(body))}
            return self._object(name) | checksums
        if path.rpartition("/")[2] in self.files:
            name = path.rpartition("/")[2]
            return self.files[name] if path.startswith("/download/") else self._object(name)
        if re.fullmatch("/storage/v1/b/[^/]+/o", path):
            return {"items": [self._object("messages/1.jsonl")]}
        if re.fullmatch("/storage/v1/b/[^/]+", path):
            return {"name": path.split("/")[4], "softDeletePolicy": {"retentionDurationSeconds": "0"}}
        return None

    def _object(self, name: str) -> dict[str, Any]:
        size = str(len(self.files.get(name, b"ten bytes.")))
        return {"name": name, "bucket": "b", "size": size, "updated": "2026-01-01T00:00:00Z", "generation": "1"}


def _base64(checksum: Any) -> str:
    return base64.b64encode(checksum.digest()).decode()


class _Refusing(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "may not look")
            raise AssertionError

        return grpc.unary_unary_rpc_method_handler(refuse)
