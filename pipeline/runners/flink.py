"""Flink without Docker: a job server, a cluster of job and task managers, and a pool of Python workers.

docs/runners.md shows the same commands for machines of one's own.
"""

import concurrent.futures
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pipeline.runners import flink_jar, present
from pipeline.runners.__main__ import OPENED
from pipeline.servers import free_port, port_of, served

_RUNTIME = "org.apache.flink.runtime"
_JOB_MANAGER = f"{_RUNTIME}.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER = f"{_RUNTIME}.taskexecutor.TaskManagerRunner"
_MB = 2**20
# A task manager that is started by hand wants every size. With less for the network, a shuffle finds no buffers.
TASK_MANAGER_MEMORY = {
    "framework.heap": 128 * _MB,
    "framework.off-heap": 128 * _MB,
    "task.heap": 256 * _MB,
    "task.off-heap": 0,
    "managed": 128 * _MB,
    "network.min": 256 * _MB,
    "network.max": 256 * _MB,
    "jvm-metaspace": 256 * _MB,
    "jvm-overhead.min": 192 * _MB,
    "jvm-overhead.max": 192 * _MB,
}


def _java(main: str, *arguments: str, heap: int) -> list[str]:
    opened = [f"--add-opens={name}=ALL-UNNAMED" for name in OPENED]
    return ["java", f"-Xmx{heap // _MB}m", *opened, "-cp", str(present(flink_jar())), main, *arguments]


@contextlib.contextmanager
def job_server(master: str = "[local]") -> Iterator[str]:
    """Beam's job server for a Flink at `master`: host:port, or "[local]" inside of the job server. Yields host:port.

    Raises:
        RunnerMissingError: if `make runners` has not been run.
        NotStartedError: if it does not start.
    """
    endpoint = f"localhost:{free_port()}"
    with tempfile.TemporaryDirectory() as artifacts:
        command = [
            "java", "-jar", present(flink_jar()), "--job-host=localhost", f"--job-port={port_of(endpoint)}",
            "--artifact-port=0", "--expansion-port=-1", f"--artifacts-dir={artifacts}", f"--flink-master={master}",
        ]  # fmt: skip
        with served(command, endpoint):
            yield endpoint


@contextlib.contextmanager
def worker_pool(environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Starts a Python worker process for each that a task manager asks for, on this machine. Yields host:port.

    Raises:
        NotStartedError: if it does not start.
    """
    endpoint = f"localhost:{free_port()}"
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main"]
    # The pool starts the `python` of the PATH, and is the parent of its workers.
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    with served(
        [*command, f"--service_port={port_of(endpoint)}"],
        endpoint,
        environment={"PATH": path, **(environment or {})},
    ):
        yield endpoint


class Cluster(NamedTuple):
    """A running session cluster.

    Attributes:
        rest: host:port of its REST interface, which is also the job server's --flink-master.
        task_managers: their processes; one that is killed stays dead until `task_manager` starts another.
        folder: its configuration, its checkpoints and the logs of its processes.
    """

    rest: str
    task_managers: list["subprocess.Popen[bytes]"]
    folder: pathlib.Path


@contextlib.contextmanager
def cluster(task_managers: int = 1, settings: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A job manager and `task_managers` of one slot each; `settings` adds to Flink's configuration.

    Raises:
        RunnerMissingError: if `make runners` has not been run.
        NotStartedError: if one does not start.
    """
    with tempfile.TemporaryDirectory(prefix="flink-") as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        rest = f"localhost:{free_port()}"
        chosen = {
            "jobmanager.rpc.address": "localhost",
            "jobmanager.rpc.port": str(free_port()),
            "rest.port": str(port_of(rest)),
            "rest.address": "localhost",
            "state.checkpoints.dir": f"file://{folder}/checkpoints",
            "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
            "heartbeat.interval": "1000",
            "heartbeat.timeout": "5000",
            "io.tmp.dirs": str(folder),
            **(settings or {}),
        }
        (folder / "flink-conf.yaml").write_text("".join(f"{key}: {value}\n" for key, value in chosen.items()))
        command = _java(_JOB_MANAGER, f"--configDir={folder}", heap=512 * _MB)
        servers = [served(command, rest, folder / "job_manager.log")]
        servers += [task_manager(folder) for _ in range(task_managers)]
        # All at once, as each takes seconds; a task manager looks for its job manager until that is there.
        with concurrent.futures.ThreadPoolExecutor(len(servers)) as pool:
            _, *running = pool.map(stack.enter_context, servers)
        yield Cluster(rest, running, folder)


@contextlib.contextmanager
def task_manager(folder: pathlib.Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A task manager of one slot for the cluster whose configuration is in `folder`, registered or about to be.

    Raises:
        RunnerMissingError: if `make runners` has not been run.
        NotStartedError: if it does not start.
    """
    sizes = {f"taskmanager.memory.{name}{'' if '.m' in name else '.size'}": f"{size}b"
             for name, size in TASK_MANAGER_MEMORY.items()}  # fmt: skip
    port = free_port()
    chosen = {"taskmanager.cpu.cores": "2.0", "taskmanager.numberOfTaskSlots": "1", "taskmanager.host": "localhost",
              "taskmanager.rpc.port": str(port), **sizes}  # fmt: skip
    arguments = [word for key, value in chosen.items() for word in ("-D", f"{key}={value}")]
    command = _java(_TASK_MANAGER, f"--configDir={folder}", *arguments, heap=512 * _MB)
    with served(command, f"localhost:{port}", folder / f"task_manager-{port}.log") as process:
        yield process
