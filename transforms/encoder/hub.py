"""SavedModels by handle: downloads, loads and reads them, and computes a digest of their files."""

import contextlib
import functools
import hashlib
import importlib.util
import os
import pathlib
import urllib.request
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from transforms.encoder.reasons import reason_of

# Where a SavedModel keeps its weights, as the prefix of their files.
_WEIGHTS = ("variables", "variables")


def load(handle: str) -> Any:
    """Loads the SavedModel at a directory, an http(s) handle in TF-Hub's compressed format, or a gs:// path.

    Raises:
        ValueError: if there is no SavedModel, or it cannot be loaded.
    """
    register_text_ops()
    path = resolve(handle)
    # A module of TF1 may hold a second graph, for training; the one without tags is for inference.
    is_tf1 = tf.io.gfile.exists(os.path.join(path, "tfhub_module.pb"))
    with failures_of(handle, path):
        return tf.saved_model.load(path, tags=[] if is_tf1 else None)


def resolve(handle: str) -> str:
    """The directory of `handle`, after downloading it to TF-Hub's cache if it is remote.

    Raises:
        ValueError: if it cannot be found or downloaded.
    """
    if os.path.isdir(handle):
        return handle
    with warnings.catch_warnings():
        # It imports pkg_resources, which warns that it is deprecated.
        warnings.simplefilter("ignore")
        import tensorflow_hub as hub
        from tensorflow_hub.compressed_module_resolver import HttpCompressedFileResolver

    class Resolver(HttpCompressedFileResolver):
        def _call_urlopen(self, request: urllib.request.Request) -> Any:
            https = urllib.request.HTTPSHandler(context=self._context)
            return urllib.request.build_opener(https, _Encrypted()).open(request)

    with failures_of(handle):
        download = Resolver()
        return str(download(handle) if download.is_supported(handle) else hub.resolve(handle))


class _Encrypted(urllib.request.HTTPRedirectHandler):
    """Follows an https address to no other kind: anyone on the way could replace what is downloaded."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.startswith("https://"):
            raise ValueError(f"it leads to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextlib.contextmanager
def failures_of(handle: str, path: str = "") -> Iterator[None]:
    """Turns whatever TensorFlow raises about a model into a ValueError of one line that names the file at fault.

    Args:
        handle: what the user calls the model.
        path: the directory of its SavedModel; "" if it has none yet.
    """
    try:
        yield
    # A damaged file makes TensorFlow raise exceptions of any kind.
    except Exception as error:
        reason = reason_of(error)
        if damaged := path and _damaged(path):
            raise ValueError(
                f"expected a SavedModel at {handle}, {damaged} is missing, damaged or not readable ({reason}); "
                "copy or export the model again"
            ) from error
        raise ValueError(f"expected a SavedModel at {handle}, could not load it: {reason}") from error


def _damaged(path: str) -> str:
    """The file of the SavedModel in `path` that cannot be read to its end; "" if all can."""
    try:
        meta_graph(path)
    except Exception:
        return os.path.join(path, "saved_model.pb")
    weights = os.path.join(path, *_WEIGHTS)
    try:
        reader = tf.train.load_checkpoint(weights)
    except Exception:
        return f"{weights}.index"
    try:
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except Exception:
        found = tf.io.gfile.glob(f"{weights}.data-*")
        return str(found[0]) if len(found) == 1 else f"{weights}.data-*"
    return ""


def meta_graph(path: str) -> Any:
    """The first MetaGraph of the SavedModel in `path`, as its protocol buffer."""
    with tf.io.gfile.GFile(os.path.join(path, "saved_model.pb"), "rb") as file:
        return SavedModel.FromString(file.read()).meta_graphs[0]


def outputs_of(handle: str) -> set[str]:
    """The names of the outputs of a SavedModel's `__call__`, without loading it; none if it gives a single tensor.

    Raises:
        ValueError: if it cannot be read.
    """
    path = resolve(handle)
    with failures_of(handle, path):
        objects = meta_graph(path).object_graph_def
        calls = [child.node_id for child in objects.nodes[0].children if child.local_name == "__call__"]
        names = [name for call in calls for name in objects.nodes[call].function.concrete_functions]
        return {key for name in names for key in objects.concrete_functions[name].output_signature.dict_value.fields}


def saved_string(handle: str, variable: str) -> bytes | None:
    """The value of a string variable of a SavedModel's root object, without loading it; None if it has none.

    Raises:
        ValueError: if its weights cannot be read.
    """
    path = resolve(handle)
    with failures_of(handle, path):
        reader = tf.train.load_checkpoint(os.path.join(path, *_WEIGHTS))
        key = f"{variable}/.ATTRIBUTES/VARIABLE_VALUE"
        return reader.get_tensor(key) if reader.has_tensor(key) else None


def digest(handles: Iterable[str], beside: str = "") -> str:
    """A digest of all the files of the SavedModels, and of `beside`, as 12 hexadecimal digits.

    Raises:
        ValueError: if a file cannot be read.
    """
    found = hashlib.sha256()
    for handle in handles:
        root = resolve(handle)
        with failures_of(handle):
            for folder, _, files in sorted(tf.io.gfile.walk(root)):
                for name in sorted(files):
                    # This file differs between exports of the same model.
                    if name == "fingerprint.pb":
                        continue
                    found.update(os.path.relpath(os.path.join(folder, name), root).encode())
                    with tf.io.gfile.GFile(os.path.join(folder, name), "rb") as file:
                        while chunk := file.read(1 << 22):
                            found.update(chunk)
    found.update(beside.encode())
    return found.hexdigest()[:12]


@functools.cache
def register_text_ops() -> None:
    """Loads the operations of TensorFlow Text that preprocessors use (CaseFoldUTF8, FastBertNormalize, ...).

    Importing the package itself would also import Keras, which takes a second and is not needed.

    Raises:
        ImportError: if the package is not installed.
    """
    found = importlib.util.find_spec("tensorflow_text")
    if found is None or found.origin is None:
        raise ImportError("expected the package tensorflow-text, it is not installed")
    for library in sorted((pathlib.Path(found.origin).parent / "python" / "ops").glob("_*.so")):
        tf.load_op_library(str(library))
