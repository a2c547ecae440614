"""SavedModels by handle: downloads and loads them, and computes a digest of their files as their version."""

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
    """Loads the SavedModel at a directory, an http(s) handle in TF-Hub's compressed format, or a gs:// path.

    Raises:
        ValueError: if there is no SavedModel, or it cannot be loaded.
    """
    register_text_ops()
    path = resolve(handle)
    with _failures_of(handle):
        return tf.saved_model.load(path)


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

    with _failures_of(handle):
        return str(hub.resolve(handle))


@contextlib.contextmanager
def _failures_of(handle: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise ValueError(f"expected a SavedModel at {handle}, could not load it: {error}") from error


def version_of(*handles: str) -> str:
    """A digest of all the files of the SavedModels, as 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for handle in filter(None, handles):
        root = resolve(handle)
        for folder, _, files in sorted(tf.io.gfile.walk(root)):
            for name in sorted(files):
                # This file differs between exports of the same model.
                if name == "fingerprint.pb":
                    continue
                digest.update(os.path.relpath(os.path.join(folder, name), root).encode())
                with tf.io.gfile.GFile(os.path.join(folder, name), "rb") as file:
                    while chunk := file.read(1 << 22):
                        digest.update(chunk)
    return digest.hexdigest()[:12]


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
