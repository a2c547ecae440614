"""A Python that has imported Beam and TensorFlow already: a program of ours that it is to run is a fork of it.

In all else the program is a process of its own, as `python` starts it: its arguments, environment, folder, streams and
exit code. Signals reach the one that waits for it, so that what is to be killed must be started by `sys.executable`.
"""

import contextlib
import json
import os
import pathlib
import runpy
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

# Runs what is none of our programs as it is.
_PYTHON = """#!{python} -IS
import json, os, socket, sys
if not (sys.argv[1].endswith(".py") or sys.argv[1] == "-m" and sys.argv[2].split(".")[0] in ("pipeline", "templates")):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)])
    socket.send_fds(server, [asked.encode()], [0, 1, 2])
    sys.exit(server.recv(1)[0])
"""


@contextlib.contextmanager
def warm_python(modules: pathlib.Path = pathlib.Path(__file__).parents[1]) -> Iterator[str]:
    """A folder for the PATH, with the program `python`, which finds our modules in a folder."""
    # Without bytecode that is kept, each command would compile all that it imports.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        address, python = f"{folder}/socket", pathlib.Path(folder, "python")
        python.write_text(_PYTHON.format(python=sys.executable, address=address))
        python.chmod(0o755)
        command = [sys.executable, "-m", "tests.warm", address]
        environment["PYTHONPATH"] = str(modules)
        with subprocess.Popen(command, cwd=modules, env=environment, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout
                assert server.stdout.readline() == "warm\n"
                yield folder
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


def _run(arguments: Sequence[str]) -> None:
    if arguments[0] == "-m":
        sys.argv, sys.path[0] = [*arguments[1:]], os.getcwd()
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = [*arguments], os.path.dirname(os.path.abspath(arguments[0]))
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    _import_what_takes_long()
    with socket.socket(socket.AF_UNIX) as _listening:
        _listening.bind(sys.argv[1])
        _listening.listen()
        print("warm", flush=True)
        _arguments = _next_command(_listening)
    _run(_arguments)
