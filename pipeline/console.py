"""A quiet terminal: what libraries say to nobody stays out of it."""

import logging
import os
import sys


def prepare() -> None:
    """Set up logging for a program of this project."""
    # TensorFlow greets on standard error; its errors come as exceptions all the same.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Micro-batches run on a core each, which is faster than one on all of them; read when TensorFlow starts.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    # By itself TensorFlow uses oneDNN's matmuls only on processors with AVX-512 VNNI; with AVX2 they are faster too.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    # Beam says this of any machine without an optional package.
    logging.getLogger().addFilter(lambda record: not str(record.msg).startswith("Resource module is not available"))
    # A run without dead letters writes no file of them, which the sink warns of.
    logging.getLogger("apache_beam.io.filebasedsink").setLevel(logging.ERROR)


def import_tensorflow() -> None:
    """Import TensorFlow without the lines that its C++ code prints before any setting can stop it, and without Keras.

    TensorFlow goes on where Keras cannot be imported; with it, its own import takes half as long again.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    hidden = sys.modules.setdefault("keras", None)  # type: ignore[arg-type]
    try:
        os.dup2(nowhere, 2)
        import tensorflow  # noqa: F401
    finally:
        if hidden is None:
            del sys.modules["keras"]
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
