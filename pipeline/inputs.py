"""Inputs: where a run's messages come from, and what is made for the run and removed after it."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pipeline.places import check_files, is_pipe
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
        else:
            place = _files(stack, "input", settings.input)
            found = Inputs([place], {} if place == settings.input else {place: settings.input})
        if settings.already_written and settings.output_format != "bigquery":
            found = found._replace(written=[_files(stack, "already_written", settings.already_written)])
        yield found


def _files(stack: contextlib.ExitStack, option: str, place: str) -> str:
    """Where the files of `place`, the value of `option`, can be read more than once."""
    if is_pipe(place):
        return stack.enter_context(_spooled(option, place))
    check_files(option, place)
    return place


@contextlib.contextmanager
def _spooled(option: str, place: str) -> Iterator[str]:
    # Python has no standard input where the shell closed it.
    if place == "-" and sys.stdin is None:
        raise ValueError(f"expected text on standard input for --{option}=-, it is closed; pipe text into it")
    # The suffix tells how the data is compressed.
    suffix = os.path.splitext(place)[1]
    with tempfile.NamedTemporaryFile(prefix="sentence-embeddings-", suffix=suffix) as spool:
        try:
            with contextlib.nullcontext(sys.stdin.buffer) if place == "-" else open(place, "rb") as pipe:
                shutil.copyfileobj(pipe, spool)
            spool.flush()
        except OSError as error:
            raise ValueError(f"expected --{option} to be readable, could not copy {place}: {error.strerror}") from error
        yield spool.name
