import contextlib
import http.server
import pathlib
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.beam import run
from tests.conftest import DATA
from transforms import EmbedSentences, SentenceEmbeddings
from transforms.encoder.catalogue import find_model
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import TextEncoder
from transforms.integrations.beam_yaml import YamlEmbedSentences

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
    remote = TextEncoder(encoder, preprocessor=preprocessor, max_seq_length=32, allow_http=True)
    local = TextEncoder(str(hub_bert), max_seq_length=32)
    assert remote.version == local.version
    np.testing.assert_array_equal(remote.encode(["the dog barks"]), local.encode(["the dog barks"]))


def test_a_handle_that_is_not_there_is_one_line(hub: str) -> None:
    """The message names the handle."""
    with pytest.raises(ValueError, match=f"expected a SavedModel at {hub}/nothing/1"):
        TextEncoder(f"{hub}/nothing/1", allow_http=True)


@pytest.mark.parametrize("address", ["http://models.example/bert/1", "HTTP://models.example/bert/1"])
def test_a_handle_without_encryption_is_refused(address: str) -> None:
    """As encoder and as preprocessor, by all that take one; what comes over such a connection may be anybody's."""
    takers: list[Callable[..., Any]] = [EncoderOptions, EmbedSentences, SentenceEmbeddings, find_model]
    for make in takers:
        with pytest.raises(ValueError, match=f"^expected model as an https handle, .*, got '{address}'"):
            make(address)
        with pytest.raises(ValueError, match=f"^expected preprocessor as an https handle, .*, got '{address}'"):
            make("minilm", preprocessor=address)
        assert make(address, allow_http=True)
    with pytest.raises(ValueError, match="^expected model as an https handle"):
        YamlEmbedSentences(model=address)


class _Elsewhere(http.server.BaseHTTPRequestHandler):
    """Sends whoever asks to the same path under the server's attribute `target`."""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", f"{self.server.target}{self.path}")  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def https_to(hub: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Starts a server of https that sends its clients elsewhere, and gives its address."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout {key} -out {certificate}"
    subprocess.run(make.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("TFHUB_DISABLE_CERT_VALIDATION", "true")
    with contextlib.ExitStack() as stack:

        def start(target: str) -> str:
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere)
            server.target = target  # type: ignore[attr-defined]
            server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return f"https://127.0.0.1:{server.server_port}"

        yield start


@pytest.mark.skipif(not shutil.which("openssl"), reason="a redirect over https was NOT tried; it needs openssl")
def test_an_https_address_that_leads_to_http_is_refused(hub: str, https_to: Callable[[str], str]) -> None:
    """At whatever step; from https to https it is followed."""
    handle = f"{https_to(https_to(hub))}{next(iter(PATHS))}"
    with pytest.raises(ValueError, match=f"expected a SavedModel at {handle}, .* leads to {hub}/"):
        TextEncoder(handle)


def test_a_pinned_version_is_loaded(hub: str, hub_bert: pathlib.Path) -> None:
    """By its digest, whether it is downloaded or not."""
    version = TextEncoder(str(hub_bert), max_seq_length=32).version
    encoder, preprocessor = (f"{hub}{path}" for path in PATHS)
    options = {"max_seq_length": 32, "model_version": version}
    assert TextEncoder(str(hub_bert), **options).version == version
    assert TextEncoder(encoder, preprocessor=preprocessor, allow_http=True, **options).version == version


def test_another_version_than_the_pinned_one_is_not_even_loaded(
    tiny_bert: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Its graph may do anything, so its files are compared first; here they could not be loaded."""
    copied = shutil.copytree(tiny_bert, tmp_path / "tiny")
    version = TextEncoder(str(copied), max_seq_length=40).version
    cut(copied / "preprocessor" / GRAPH)
    with pytest.raises(ValueError, match=rf"^expected model_version={version}, got [0-9a-f]{{12}} of tiny; ") as error:
        TextEncoder(str(copied), max_seq_length=40, model_version=version)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("digest", ["abc", "0123456789AB", "0123456789abcdef", " 0123456789ab"])
def test_a_pin_that_is_no_digest_is_refused(digest: str) -> None:
    """It could never be that of a model."""
    with pytest.raises(ValueError, match=f"^expected model_version as 12 hexadecimal digits, .*, got '{digest}'"):
        EmbedSentences(model_version=digest)


def test_a_downloaded_model_is_compared_by_the_worker(hub: str) -> None:
    """The run fails with both digests, and no row is made."""
    encoder, preprocessor = (f"{hub}{path}" for path in PATHS)
    pinned = {"preprocessor": preprocessor, "allow_http": True, "model_version": "0123456789ab", "max_seq_length": 32}
    with pytest.raises(Exception, match=r"expected model_version=0123456789ab, got [0-9a-f]{12} of"):
        run(["the dog barks"], EmbedSentences(encoder, **pinned))


def cut(path: pathlib.Path) -> None:
    """Leave half of it."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def alter(path: pathlib.Path) -> None:
    """Turn round a byte in its middle."""
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 0xFF
    path.write_bytes(held)


def garble(path: pathlib.Path) -> None:
    """Write something else."""
    path.write_bytes(b"<html>404</html>")


def replace(path: pathlib.Path) -> None:
    """Put a folder in its place."""
    path.unlink()
    path.mkdir()


INDEX, DATA_FILE, GRAPH = "variables/variables.index", "variables/variables.data-00000-of-00001", "saved_model.pb"
DAMAGES = [
    (DATA_FILE, pathlib.Path.unlink),
    (DATA_FILE, cut),
    (DATA_FILE, alter),
    (DATA_FILE, garble),
    (DATA_FILE, replace),
    (INDEX, pathlib.Path.unlink),
    (INDEX, cut),
    (INDEX, garble),
    (GRAPH, cut),
    (GRAPH, garble),
]


@pytest.mark.parametrize("part", ["encoder", "preprocessor"])
@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_file_is_named_in_one_line(
    tiny_bert: pathlib.Path, tmp_path: pathlib.Path, part: str, name: str, damage: Callable[[pathlib.Path], None]
) -> None:
    """With what to do, whatever TensorFlow says of it."""
    copied = shutil.copytree(tiny_bert, tmp_path / "tiny")
    damage(copied / part / name)
    with pytest.raises(ValueError, match=r"; copy or export the model again$") as error:
        TextEncoder(str(copied), max_seq_length=40)
    named = str(copied / part / name).replace("00000-of-00001", "")
    assert named in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", [cut, garble])
def test_a_damaged_encoder_of_texts_is_named(
    text_encoder: pathlib.Path, tmp_path: pathlib.Path, damage: Callable[[pathlib.Path], None]
) -> None:
    """As half of a pair is."""
    copied = shutil.copytree(text_encoder, tmp_path / "texts")
    damage(copied / GRAPH)
    with pytest.raises(ValueError, match=f"{copied / GRAPH} is missing, damaged or not readable"):
        TextEncoder(str(copied))


def test_a_file_as_preprocessor_is_refused_in_one_line(tiny_bert: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """It is no folder of a SavedModel."""
    (tmp_path / "vocab.txt").write_text("dog")
    with pytest.raises(ValueError, match=f"expected a SavedModel at {tmp_path}/vocab.txt") as error:
        TextEncoder(str(tiny_bert), preprocessor=str(tmp_path / "vocab.txt"), max_seq_length=40)
    assert "\n" not in str(error.value)


def test_another_module_as_preprocessor_is_refused_in_one_line(tiny_bert: pathlib.Path) -> None:
    """It lacks the interface."""
    with pytest.raises(ValueError, match="expected a preprocessor with tokenize and bert_pack_inputs, got ") as error:
        TextEncoder(str(tiny_bert), preprocessor=str(tiny_bert / "encoder"), max_seq_length=40)
    assert "\n" not in str(error.value)
