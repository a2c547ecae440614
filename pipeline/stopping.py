"""Stopping: what SIGINT, SIGTERM and a closed pipe do to a program that has an end."""

import concurrent.futures
import contextlib
import logging
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_T = TypeVar("_T")


class Stopped(BaseException):
    """SIGINT or SIGTERM arrived: `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def handled_by(handler: Any) -> Iterator[None]:
    """Let `handler`, as of signal.signal, answer SIGINT and SIGTERM while the block runs.

    Only the main thread of a process may set handlers; in another one, nothing changes.
    """
    own = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handler) for number in _SIGNALS if own}
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Raise Stopped in the block when SIGINT or SIGTERM arrives."""
    arrived: list[int] = []

    def stop(number: int, frame: Any) -> None:
        arrived.append(number)
        # What ends with the run, such as its worker processes, reports that as a failure.
        logging.disable()
        raise Stopped(number)

    with handled_by(stop):
        try:
            yield
        # A library in C may turn what a handler raises into an exception of its own.
        except BaseException as error:
            if arrived and not isinstance(error, Stopped):
                raise Stopped(arrived[0]) from error
            raise


def left_behind(work: Callable[[], _T]) -> _T:
    """The result of `work`, done in a thread. If that is stopped, the thread is left behind, and its processes end."""
    done: concurrent.futures.Future[_T] = concurrent.futures.Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True, name="pipeline").start()
    try:
        return done.result()
    except Stopped:
        # Beam's worker processes would end by themselves, but later, and then it and they report that as failures.
        threading.excepthook = lambda error: None
        for process in list(_started_by(os.getpid())):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        raise


def _started_by(process: int) -> Iterator[int]:
    """The processes that a process and those that it started have started, as far as Linux tells."""
    for children in pathlib.Path("/proc").glob(f"{process}/task/*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from _started_by(child)


def leave(program: str, main: Callable[[], int]) -> NoReturn:
    """End the process with the code of `main`, or by the number of the signal that stopped it, as a shell would."""
    try:
        with stoppable():
            try:
                code = main()
            finally:
                sys.stdout.flush()
    except (Stopped, KeyboardInterrupt) as stopped:
        number = getattr(stopped, "number", signal.SIGINT)
        print(f"{program}: stopped by {signal.Signals(number).name} before its end; run it again", file=sys.stderr)
        sys.stderr.flush()
        # Python would wait for the threads of Beam, which go on with what they do.
        os._exit(128 + number)
    except BrokenPipeError:
        # Who reads what is printed, such as head, has enough of it. Python would try once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    sys.exit(code)
