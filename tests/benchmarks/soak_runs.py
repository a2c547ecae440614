"""The programs that the soak runs and kills: processes of their own, or the jobs of a Flink cluster."""

import contextlib
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from pipeline.runners.flink import cluster, job_server, task_manager, worker_pool
from tests.benchmarks.memory import with_children
from tests.conftest import ROOT
from tests.integration.test_flink_cluster import jobs

_RESTART_SECONDS = 1.0
_END_SECONDS = 120.0
# A job acknowledges at its checkpoints, of which there is one a second.
_CHECKPOINTS_SECONDS = 10.0


class Runs(Protocol):
    """Streams at work."""

    def kill(self) -> None:
        """Kill a process of them by SIGKILL, each time another one; it is started again."""

    def processes(self) -> list[int]:
        """Their processes."""

    def notes(self) -> list[str]:
        """What is worth knowing of them."""

    def finish(self) -> list[str]:
        """End them as a user would, and return what went wrong in it."""


class _Supervised(threading.Thread):
    """A program that is started again whenever it ends."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: pathlib.Path) -> None:
        super().__init__(daemon=True)
        self._arguments = arguments
        self._environment = os.environ | environment
        self._log = log
        self._finished = threading.Event()
        self.ends: list[int] = []
        self.process = self._start_process()
        self.start()

    def _start_process(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "pipeline", *self._arguments]
        with self._log.open("ab") as output:
            return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=self._environment)

    def run(self) -> None:
        while True:
            self.ends.append(self.process.wait())
            if self._finished.wait(_RESTART_SECONDS):
                return
            self.process = self._start_process()

    def end(self, by: signal.Signals) -> int:
        """Ends the program by a signal, and returns its exit code."""
        self._finished.set()
        self.process.send_signal(by)
        try:
            return self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Local:
    """A program for each stream, on the local runner."""

    def __init__(
        self, programs: Mapping[str, Sequence[str]], environment: Mapping[str, str], logs: pathlib.Path
    ) -> None:
        self._running = {
            name: _Supervised(arguments, environment, logs / f"{name}.log") for name, arguments in programs.items()
        }
        self._victims = itertools.cycle(self._running.values())

    def kill(self) -> None:
        """Kill the program of one stream, each time that of another one."""
        next(self._victims).process.kill()

    def processes(self) -> list[int]:
        """The programs."""
        return [running.process.pid for running in self._running.values()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for running in self._running.values():
            running.end(signal.SIGKILL)

    def notes(self) -> list[str]:
        """How often a program ended without being killed, and with which codes."""
        ends = {name: [code for code in one.ends if code != -signal.SIGKILL] for name, one in self._running.items()}
        return [
            f"{name}: ended by itself {len(own)} times, with {sorted(set(own))}, and was started again"
            for name, own in ends.items()
            if own
        ]

    def finish(self) -> list[str]:
        """End the programs."""
        codes = {name: one.end(signal.SIGTERM) for name, one in self._running.items()}
        return [f"{name}: expected to end with 0, got {code}" for name, code in codes.items() if code]


class Flink:
    """A job for each stream, on a session cluster of two task managers, with worker processes of their own."""

    def __init__(
        self, programs: Mapping[str, Sequence[str]], environment: Mapping[str, str], logs: pathlib.Path
    ) -> None:
        with contextlib.ExitStack() as stack:
            self._cluster = stack.enter_context(cluster(len(programs)))
            self._managers = list(self._cluster.task_managers)
            endpoint = stack.enter_context(job_server(self._cluster.rest))
            workers = stack.enter_context(worker_pool(environment))
            chosen = ["--runner=PortableRunner", f"--job_endpoint={endpoint}", "--environment_type=EXTERNAL"]
            chosen += [f"--environment_config={workers}", "--parallelism=1", "--checkpointing_interval=1000"]
            chosen += ["--max_bundle_time_mills=50", "--wait=false"]
            for name, arguments in programs.items():
                command = [sys.executable, "-m", "pipeline", *arguments, *chosen]
                with (logs / f"{name}.log").open("wb") as log:
                    subprocess.run(command, cwd=ROOT, check=True, stdout=log, stderr=log, env=os.environ | environment)
            self._stack = stack.pop_all()
        self._kills = itertools.cycle((self._kill_worker, self._kill_task_manager))

    def kill(self) -> None:
        """Kill a worker process, or the task manager that has been there longest, in turn."""
        next(self._kills)()

    def _kill_worker(self) -> None:
        for process in self.processes()[:1]:
            # It may have ended by itself.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _kill_task_manager(self) -> None:
        self._managers.pop(0).kill()
        self._managers.append(self._stack.enter_context(task_manager(self._cluster.folder)))

    def processes(self) -> list[int]:
        """The worker processes."""
        return [process for process in with_children(os.getpid()) if _is_worker(process)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def notes(self) -> list[str]:
        """Nothing; Flink restarts a job by itself."""
        return []

    def finish(self) -> list[str]:
        """Cancel the jobs, some checkpoints after their last rows."""
        time.sleep(_CHECKPOINTS_SECONDS)
        found = jobs(self._cluster.rest)
        for job in found:
            url = f"http://{self._cluster.rest}/jobs/{job}?mode=cancel"
            urllib.request.urlopen(urllib.request.Request(url, method="PATCH")).close()
        return [f"job {job}: {status} before its end" for job, status in found.items() if status != "RUNNING"]


def _is_worker(process: int) -> bool:
    with contextlib.suppress(OSError):
        return b"SdkHarness(" in pathlib.Path(f"/proc/{process}/cmdline").read_bytes()
    return False
