"""SavedModels by handle: found, downloaded, loaded, and told apart by a digest of their bytes."""

import contextlib
import functools
import hashlib
import importlib.util
import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

import tensorflow as tf


def load(handle: str) -> Any:
    """The SavedModel behind a directory, an http(s) handle in TF-Hub's compressed format, or gs://.

    Raises:
        ValueError: if nothing can be loaded from there.
    """
    register_text_ops()
    path = resolve(handle)
    with _failures_of(handle):
        return tf.saved_model.load(path)


def resolve(handle: str) -> str:
    """The directory of `handle`, downloaded to TF-Hub's cache if it is remote.

    Raises:
        ValueError: if nothing can be had from there.
    """
    if os.path.isdir(handle):
        return handle
    with warnings.catch_warnings():
        # It imports pkg_resources, which says that it is going away.
        warnings.simplefilter("ignore")
        import tensorflow_hub as hub

    with _failures_of(handle):
        return str(hub.resolve(handle))


@contextlib.contextmanager
def _failures_of(handle: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise ValueError(f"expected a SavedModel at {handle}, could not load it: {error}") from error


def version_of(*handles: str) -> str:
    """A digest of every byte of the SavedModels: 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for handle in filter(None, handles):
        root = resolve(handle)
        for folder, _, files in sorted(tf.io.gfile.walk(root)):
            for name in sorted(files):
                # Written anew at each export, whatever the contents.
                if name == "fingerprint.pb":
                    continue
                digest.update(os.path.relpath(os.path.join(folder, name), root).encode())
                with tf.io.gfile.GFile(os.path.join(folder, name), "rb") as file:
                    while chunk := file.read(1 << 22):
                        digest.update(chunk)
    return digest.hexdigest()[:12]


@functools.cache
def register_text_ops() -> None:
    """Load the operations of TensorFlow Text (CaseFoldUTF8, FastBertNormalize, ...) that preprocessors are made of.

    The package itself would import Keras, which takes a second and is not needed.

    Raises:
        ImportError: if the package is not installed.
    """
    found = importlib.util.find_spec("tensorflow_text")
    if found is None or found.origin is None:
        raise ImportError("expected the package tensorflow-text, it is not installed")
    for library in sorted((pathlib.Path(found.origin).parent / "python" / "ops").glob("_*.so")):
        tf.load_op_library(str(library))
