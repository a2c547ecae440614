import http.server
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.conftest import DATA
from transforms.encoder.text_encoder import TextEncoder

PATHS = {
    "/google/experts/bert/wiki_books/sst2/2": "encoder",
    "/tensorflow/bert_en_uncased_preprocess/3": "preprocessor",
}


class _Hub(http.server.BaseHTTPRequestHandler):
    """A model hub: the URLs of tfhub.dev, answered in its compressed format."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path not in PATHS or query != "tf-hub-format=compressed":
            self.send_error(404)
            return
        body = (DATA / "hub_bert" / f"{PATHS[path]}.tar.gz").read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hub(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a local model hub, with an empty cache before it."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_pair_is_loaded_by_its_handles(hub: str, hub_bert: pathlib.Path) -> None:
    """The catalogue's URL shape, downloaded and unpacked, gives the vectors of the directory."""
    encoder, preprocessor = (f"{hub}{path}" for path in PATHS)
    remote = TextEncoder(encoder, preprocessor=preprocessor, max_seq_length=32)
    local = TextEncoder(str(hub_bert), max_seq_length=32)
    assert remote.version == local.version
    np.testing.assert_array_equal(remote.encode(["the dog barks"]), local.encode(["the dog barks"]))


def test_a_handle_that_is_not_there_is_one_line(hub: str) -> None:
    """The message names the handle."""
    with pytest.raises(ValueError, match=f"expected a SavedModel at {hub}/nothing/1"):
        TextEncoder(f"{hub}/nothing/1")
