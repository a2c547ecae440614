"""Inputs: where a run's messages come from, and what is made for the run and removed after it."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pipeline.places import find_files
from pipeline.settings import Settings
from transforms.io.pubsub.resources import temporary_subscription


class Inputs(NamedTuple):
    """Where messages come from.

    Attributes:
        patterns: files to read.
        names: what to call a file that is not called by its path.
        subscription: the Pub/Sub subscription that our own source reads.
        native: whether Beam's native source reads Pub/Sub.
        written: files of rows written earlier.
    """

    patterns: Sequence[str] = ()
    names: Mapping[str, str] = {}
    subscription: str = ""
    native: bool = False
    written: Sequence[str] = ()

    @property
    def is_stream(self) -> bool:
        """Whether the input is an endless stream."""
        return self.native or bool(self.subscription)


@contextlib.contextmanager
def open_inputs(settings: Settings, native: bool) -> Iterator[Inputs]:
    """The inputs of checked settings: files found, standard input spooled, a topic's subscription made.

    The spool and the subscription exist while the block runs. `native` chooses Beam's own read of Pub/Sub.

    Raises:
        ValueError: if files or a topic do not exist.
    """
    with contextlib.ExitStack() as stack:
        if native:
            found = Inputs(native=True)
        elif settings.input_subscription:
            found = Inputs(subscription=settings.input_subscription)
        elif settings.input_topic:
            found = Inputs(subscription=stack.enter_context(temporary_subscription(settings.input_topic)))
        elif settings.input_format == "bigquery":
            found = Inputs()
        elif settings.input == "-":
            spool = stack.enter_context(_spooled_standard_input())
            found = Inputs([spool], {spool: "-"})
        else:
            found = Inputs([find_files("input", settings.input)])
        if settings.already_written and settings.output_format != "bigquery":
            found = found._replace(written=[find_files("already_written", settings.already_written)])
        yield found


@contextlib.contextmanager
def _spooled_standard_input() -> Iterator[str]:
    # Python has no standard input where the shell closed it.
    if sys.stdin is None:
        raise ValueError("expected text on standard input for --input=-, it is closed; pipe text into it")
    with tempfile.NamedTemporaryFile(prefix="sentence-embeddings-", delete=False) as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
    try:
        yield spool.name
    finally:
        os.unlink(spool.name)
