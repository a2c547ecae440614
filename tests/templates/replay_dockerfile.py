"""`python -m tests.templates.replay_dockerfile --build-arg MODEL=minilm`: the Dockerfile's steps, without an engine.

The Dockerfile itself is read. Its RUN steps run in a fresh virtual environment, its files lie under a directory
instead of /, and .dockerignore decides what it sees. What comes out of other images (Beam's boot, Dataflow's launcher)
is left out.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]
_LEFT_OUT = ("PYTHONPATH", "VIRTUAL_ENV", "EMBEDDING_MODELS", "TFHUB_CACHE_DIR", "SDK_CONTAINER_IMAGE")


class Instruction(NamedTuple):
    """One instruction: its name, its --flags, and the rest as it stands."""

    name: str
    flags: tuple[str, ...]
    rest: str


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for logical in re.split(r"(?<!\\)\n", "\n".join(lines)):
        name, rest = logical.replace("\\\n", " ").strip().split(maxsplit=1)
        flags = []
        while match := re.match(r"--[\w-]+=\S+\s+", rest):
            flags.append(match[0].strip())
            rest = rest[match.end() :]
        yield Instruction(name.upper(), tuple(flags), rest)


def context_files(root: pathlib.Path = ROOT) -> list[str]:
    """The files that .dockerignore lets a build see, relative to `root`."""
    rules = [line for line in (root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    found = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or name.startswith((".git/", ".venv/", "out/")):
            continue
        seen = True
        for rule in rules:
            if _matches(name, rule.removeprefix("!")):
                seen = rule.startswith("!")
        if seen:
            found.append(name)
    return found


def _matches(name: str, pattern: str) -> bool:
    """Whether a path, or a directory that it lies in, matches a pattern of .dockerignore."""
    regex = "(.*/)?".join(
        re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]") for part in pattern.split("**/")
    )
    return re.fullmatch(f"{regex}(/.*)?", name) is not None


@dataclasses.dataclass
class Replay:
    """A Dockerfile's steps under `to`, with `arguments` for its ARGs; `environment` is the final image's."""

    to: pathlib.Path
    arguments: Mapping[str, str]
    environment: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stages: dict[str, dict[str, str]] = {}
        self._global: dict[str, str] = {}
        self._folder = self.to
        self._context = self.to / ".context"

    @property
    def python(self) -> pathlib.Path:
        """The interpreter of the fresh environment."""
        return self.to / ".venv" / "bin" / "python"

    def run(self) -> None:
        """Do all steps.

        Raises:
            subprocess.CalledProcessError: if one fails.
        """
        venv.create(self.to / ".venv", with_pip=True)
        for name in context_files():
            (self._context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, self._context / name)
        for instruction in instructions((ROOT / "Dockerfile").read_text()):
            getattr(self, f"_{instruction.name.lower()}")(instruction)

    @property
    def model(self) -> str:
        """The model that is baked in."""
        return self._stages["model"]["MODEL"]

    def outside(self) -> dict[str, str]:
        """This process's environment with the image's laid over it."""
        kept = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
        image = {name: self._moved(value) for name, value in self.environment.items()}
        return kept | image | {"PATH": f"{self.python.parent}:{os.environ['PATH']}"}

    def _from(self, instruction: Instruction) -> None:
        image, *name = re.split(r"\s+as\s+", self._filled(instruction.rest, self._global), flags=re.IGNORECASE)
        # A stage on an image of elsewhere that is only copied from stays empty.
        self.environment = dict(self._stages.get(image, {}))
        self._stages["".join(name)] = self.environment
        self._folder = self.to

    def _arg(self, instruction: Instruction) -> None:
        name, _, default = instruction.rest.partition("=")
        scope = self.environment if self._stages else self._global
        scope[name] = self.arguments.get(name, shlex.split(default)[0] if shlex.split(default) else "")

    def _env(self, instruction: Instruction) -> None:
        for pair in shlex.split(self._filled(instruction.rest, self.environment)):
            name, _, value = pair.partition("=")
            self.environment[name] = value

    def _workdir(self, instruction: Instruction) -> None:
        self._folder = self._here(instruction.rest)
        self._folder.mkdir(parents=True, exist_ok=True)

    def _copy(self, instruction: Instruction) -> None:
        *sources, target = shlex.split(self._filled(instruction.rest, self.environment))
        place = self._here(target)
        origin = next((flag.removeprefix("--from=") for flag in instruction.flags if flag.startswith("--from=")), "")
        if origin:
            # Stages share one file system here, so a copy between them only has to find what it copies.
            if self._stages[origin] and not all(self._here(source).exists() for source in sources):
                raise FileNotFoundError(f"expected {sources} in the stage {origin}")
            return
        for source in sources:
            path = self._context / source
            if path.is_dir():
                shutil.copytree(path, place, dirs_exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, place / path.name if target.endswith("/") else place)

    def _run(self, instruction: Instruction) -> None:
        mounts = [
            dict(part.partition("=")[::2] for part in flag.split("=", 1)[1].split(",")) for flag in instruction.flags
        ]
        bound = [self._here(mount["target"]) for mount in mounts if mount["type"] == "bind"]
        for target in bound:
            shutil.copytree(self._context, target, dirs_exist_ok=True)
        command = self._moved(instruction.rest)
        print(f"RUN {command}", flush=True)
        subprocess.run(["/bin/sh", "-c", command], cwd=self._folder, env=self.outside(), check=True)
        for target in bound:
            shutil.rmtree(target)

    def _entrypoint(self, instruction: Instruction) -> None:
        """What it names comes from another image."""

    def _here(self, path: str) -> pathlib.Path:
        return self.to / path.lstrip("/")

    def _moved(self, text: str) -> str:
        """`text` with its absolute paths under `to`."""
        return re.sub(r"(?<![\w.:/-])/(?=\w)", f"{self.to}/", text)

    @staticmethod
    def _filled(text: str, values: Mapping[str, str]) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda match: values.get(match[1], ""), text)


def main(argv: Sequence[str] | None = None) -> int:
    """Replay the Dockerfile, and embed the examples with what came out, without a network."""
    parser = argparse.ArgumentParser(prog="python -m tests.templates.replay_dockerfile", description=__doc__)
    parser.add_argument("--to", type=pathlib.Path, metavar="DIR", help="Where; by default a temporary directory.")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        to = (arguments.to or pathlib.Path(folder)).resolve()
        to.mkdir(parents=True, exist_ok=True)
        replay = Replay(to, dict(pair.partition("=")[::2] for pair in arguments.build_arg))
        replay.run()
        print(run_demo(replay))
    return 0


def run_demo(replay: Replay) -> str:
    """What the program says when it embeds the examples with the baked model, from an empty directory, offline.

    Raises:
        subprocess.CalledProcessError: if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [str(replay.python), "-m", "pipeline", f"--input={ROOT}/examples/messages.jsonl"]
        command += ["--input_format=jsonl", "--id_field=id", f"--model={replay.model}"]
        command += [f"--output={folder}/rows", "--output_format=jsonl"]
        environment = replay.outside() | {"HOME": folder}
        return subprocess.run(
            [*offline(), *command], cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout


def offline() -> list[str]:
    """What to put before a command to run it without a network."""
    unshare = ["unshare", "--map-root-user", "--net"]
    possible = shutil.which("unshare") and subprocess.run([*unshare, "true"], check=False).returncode == 0
    # Else every connection through a proxy is refused.
    return unshare if possible else ["env", "https_proxy=http://127.0.0.1:9", "http_proxy=http://127.0.0.1:9"]


if __name__ == "__main__":
    sys.exit(main())
