"""A Python that has imported Beam and TensorFlow already: `python -m pipeline...` is a fork of it, and starts at once.

In all else it is a process of its own as `python -m` starts it: arguments, environment, folder, streams and exit code.
"""

import contextlib
import json
import os
import pathlib
import runpy
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

# Runs any other command as it is.
_PYTHON = """#!{python} -IS
import json, os, socket, sys
if sys.argv[1:2] != ["-m"] or sys.argv[2].split(".")[0] != "pipeline":
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    asked = json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)])
    socket.send_fds(server, [asked.encode()], [0, 1, 2])
    sys.exit(server.recv(1)[0])
"""


@contextlib.contextmanager
def warm_python(folder: pathlib.Path, environment: Mapping[str, str]) -> Iterator[pathlib.Path]:
    """A folder for the PATH, with the program `python`, of modules as `environment` finds them."""
    address = folder / "socket"
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    python.write_text(_PYTHON.format(python=sys.executable, address=str(address)))
    python.chmod(0o755)
    command = [sys.executable, "-m", "tests.warm", str(address)]
    with subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            assert server.stdout.readline() == "warm\n"
            yield python.parent
        finally:
            server.terminate()


def _import_what_takes_long() -> None:
    from pipeline import console

    console.prepare()
    console.import_tensorflow()
    from pipeline import graph  # noqa: F401
    from transforms.encoder import hub

    hub.register_text_ops()


def _next_command(listening: socket.socket) -> Sequence[str]:
    """Fork for each command that comes. Returns, in the fork, the command's arguments."""
    while True:
        asking, _ = listening.accept()
        asked, streams, _, _ = socket.recv_fds(asking, 1 << 20, 3)
        # A process between the server and the command tells the exit code, so that several can run at once.
        if not os.fork():
            if command := os.fork():
                code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
                asking.send(bytes([code % 256]))
                os._exit(0)
            arguments, folder, environment = json.loads(asked)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            return list(arguments)
        for stream in streams:
            os.close(stream)
        asking.close()


if __name__ == "__main__":
    _import_what_takes_long()
    with socket.socket(socket.AF_UNIX) as _listening:
        _listening.bind(sys.argv[1])
        _listening.listen()
        print("warm", flush=True)
        _arguments = _next_command(_listening)
    sys.argv, sys.path[0] = [*_arguments], os.getcwd()
    runpy.run_module(_arguments[0], run_name="__main__", alter_sys=True)
