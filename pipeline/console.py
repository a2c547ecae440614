"""A quiet terminal, without what libraries print on their own."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence

# What Beam warns of in every run with several worker processes, and nobody can mend.
_OF_WORKERS = ("No semi_persistent_directory found", "Discarding unparseable args", "Resource module is not available")


def prepare() -> None:
    """Set up logging for a program of this project."""
    # TensorFlow prints a greeting to standard error. Its errors are raised as exceptions anyway.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Each micro-batch runs on one core, which is faster than one at a time on all cores. Read when TensorFlow starts.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    # By default, TensorFlow uses oneDNN's matmuls only with AVX-512 VNNI; they are faster with AVX2, too.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    # Beam logs this on any machine without an optional package.
    logging.getLogger().addFilter(lambda record: not str(record.msg).startswith("Resource module is not available"))
    workers = logging.getLogger("apache_beam.runners.portability.local_job_service")
    workers.addFilter(lambda record: not any(text in record.getMessage() for text in _OF_WORKERS))
    # A run without dead letters writes no file of them, and the sink warns about that.
    logging.getLogger("apache_beam.io.filebasedsink").setLevel(logging.ERROR)
    # A full disk is the operator's to mend, who needs no traceback of it; the run ends with one line.
    logging.getLogger("apache_beam.runners.common").addFilter(lambda record: "[Errno " not in str(record.msg))


def import_beam(arguments: Sequence[str]) -> None:
    """Import Beam without libraries that it looks for and this program has no use for; they take a third as long again.

    The client of Dataflow is imported if `arguments` name its runner.
    """
    unused = ["IPython", "pandas", "pymongo"]
    if not any("dataflow" in argument.lower() for argument in arguments):
        unused.append("google.cloud.dataflow")
    # It warns that there is no pymongo.
    logging.getLogger("apache_beam.io.mongodbio").setLevel(logging.ERROR)
    with _hidden(*unused):
        import apache_beam  # noqa: F401


def import_tensorflow() -> None:
    """Import TensorFlow without the lines that its C++ code prints before any setting can stop it, and without Keras.

    TensorFlow works without Keras; importing it as well takes half as long again.
    """
    with silenced():
        import tensorflow  # noqa: F401


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Drop what is written to standard error, and hide what TensorFlow can do without, while it is imported."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with _hidden("keras", "pandas", "scipy"):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def _hidden(*modules: str) -> Iterator[None]:
    """Let imports of `modules` fail, but for those that have been imported before."""
    absent = [module for module in modules if module not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for module in absent:
            del sys.modules[module]
