"""README.md and docs/ as a reader works through them: every command and code block, in a clean clone.

Pages come in the order of docs/README.md. A fenced block without a language shows how the output of a command in the
block before it ends. NOT_RUN names what cannot be run here, with the reason; everything else runs, and must end well.
`make` starts Python anew, as a reader does; other commands are forks of one that has imported what takes long.
"""

import contextlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.conftest import ROOT, TINY, write_checkpoint
from tests.spark_nlp import write_saved
from tests.warm import warm_python
from transforms.encoder.text_encoder import TextEncoder

SETUP = "makes an environment or downloads"
CLOUD = "needs Google Cloud"
RUNNERS = "needs what make runners gets; tests/integration/test_runners.py and test_flink_kills.py run its like"
MINUTES = "takes minutes, or data that a clone does not have"
SUITE = "is the test suite"

# How a command or block of a page begins ("" for any page), and why it is not run.
NOT_RUN = [
    ("", "make venv", SETUP),
    ("", "make minilm", SETUP),
    ("", "make runners", SETUP),
    ("", "make check", SUITE),
    ("", "make test", SUITE),
    ("", "pip install", SETUP),
    ("", "gcloud", CLOUD),
    ("", "python -m tests.benchmarks.", MINUTES),
    ("README.md", "python3 -m venv", SETUP),
    ("README.md", "make PYTHON=python3.12 demo", SETUP),
    ("README.md", "python -m pipeline.export_encoder --model=minilm", SETUP),
    ("README.md", "python -m pipeline --input='out/rows*.parquet' --input_format=rows --model=bert_", SETUP),
    ("README.md", "python -m pipeline --input_subscription=", CLOUD),
    ("README.md", "python -m pipeline.local", "needs the emulators of Pub/Sub and BigQuery; tests/integration runs it"),
    (
        "docs/java.md",
        "python -m pipeline.expansion_service",
        "runs until it is stopped; test_expansion_service.py runs it",
    ),
    ("docs/from_spark_nlp.md", "SPARKNLP_JARS=", "needs Spark NLP's jars"),
    ("docs/java.md", "import org.apache.beam", "is in Java; tests/integration/test_java.py runs it"),
    ("docs/java.md", "providers:", "needs a service; test_expansion_service.py runs it"),
    ("docs/look.md", "python -m pipeline.search --bigquery", CLOUD),
    ("docs/own_model.md", "python -m pipeline.export_encoder --model=bert_", SETUP),
    ("docs/runners.md", "python -m pipeline --input=", RUNNERS),
    ("docs/runners.md", "curl", RUNNERS),
    ("docs/runners.md", "flink", RUNNERS),
    ("docs/runners.md", "java", RUNNERS),
    ("docs/runners.md", "PATH=", RUNNERS),
    ("docs/runners.md", "python -m pipeline --input_subscription=", CLOUD),
    ("docs/runners.md", "--", "is a part of commands"),
    ("docs/udf.md", "- type: Filter", "is a part of a pipeline; tests/test_docs.py runs it"),
    ("docs/dataflow.md", "cd ", CLOUD),
    ("docs/dataflow.md", "terraform", CLOUD),
    ("docs/dataflow.md", "docker", "needs a container engine"),
    ("docs/updating.md", "python -m pipeline --input_subscription=", CLOUD),
    ("docs/updating.md", "python -m pipeline --input=project:", CLOUD),
    ("docs/updating.md", "python -m pipeline.status --rows=project:", CLOUD),
    ("docs/updating.md", "python -m pipeline.search --bigquery=", CLOUD),
]

# What a reader brings along: a checkpoint in Hugging Face layout.
CHECKPOINT = "CHECKPOINT"

# Programs that a text names, and that do nothing without options.
PROGRAMS = {f"python -m pipeline{name}" for name in ("", ".plan", ".replay", ".report", ".search", ".status")} | {
    "pip check"
}

# Commands that take long, in a form that only shows what would run: docs/look.md and choosing_a_model.md run its like.
SHORTER = {"make report": "make --old-file=demo --dry-run report"}

# Pages whose commands have only this many of the example messages, as nothing that they show depends on it.
FEW_MESSAGES = 40
WITH_FEW = {"docs/look.md", "docs/own_model.md", "docs/python.md"}


class Step(NamedTuple):
    """A command, a block of code, or a block that shows output.

    Attributes:
        language: "bash" for a command, "" for output, else the language of the block.
        text: the command or the block.
        part: which part of the page it is in; the commands of one block share it.
        name: the file that the block is to be saved as, if the text before it says so.
    """

    language: str
    text: str
    part: int
    name: str = ""


# A fenced block, a block that is indented, a command in the text, or the name of a file in the text.
_PARTS = re.compile(
    r"^ *```(?P<language>\w*)\n(?P<fenced>.*?)^ *```$"
    r"|(?<=\n\n)(?P<indented>(?: {4,}\S[^\n]*\n|\n(?= {4}))+)"
    r"|`(?P<inline>(?:curl|docker|flink|gcloud|make|pip|python) [^`]+)`"
    r"|`(?P<name>[\w/]+\.(?:yaml|py))`",
    re.MULTILINE | re.DOTALL,
)


def steps(page: str) -> Iterator[Step]:
    """What a page has its reader run, and what it shows of the output, in order."""
    name = ""
    if page.endswith(".ipynb"):
        yield Step("bash", f"jupyter execute {page}", 0)
        return
    for number, part in enumerate(_PARTS.finditer((ROOT / page).read_text(encoding="utf-8"))):
        if part["name"]:
            name = part["name"]
        elif part["inline"] in PROGRAMS:
            continue
        elif part["inline"]:
            yield Step("bash", " ".join(part["inline"].split()), number)
        elif part["language"] in (None, "bash"):
            for line in re.sub(r" *\\\n *|(?<=\|)\n *", " ", part["fenced"] or part["indented"]).splitlines():
                if command := re.sub(r"(^|\s+)# .*", "", line.strip()):
                    yield Step("bash", command, number)
        else:
            yield Step(part["language"], part["fenced"], number, name)
            name = ""


def pages() -> list[str]:
    """README.md and the pages of docs/, as docs/README.md lists them."""
    listed = re.findall(r"^\| \[(.+)\]\(\1\)", (ROOT / "docs" / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    return ["README.md", "docs/README.md", *(f"docs/{name}" for name in listed)]


PAGES = pages()


def is_run(page: str, step: Step) -> bool:
    """Whether nothing in NOT_RUN stands against it."""
    return not any(where in ("", page) and step.text.startswith(beginning) for where, beginning, _ in NOT_RUN)


# Seconds, rates, and what depends on how a run was cut into batches.
_VARIES = re.compile(
    r"[\d.,]+(?= m?s\b| sentences a second| of padding| of [\d.,]+ sentences on| sentences on average)"
)


def ends_with(printed: str, shown: str) -> bool:
    """Whether the last lines of what was printed are those that a page shows, white space aside.

    Seconds, rates (also under a heading that ends in /s), padding and the sizes of batches may be any number, and a
    number with three decimals may differ by .002.
    """
    lines, last = shown.splitlines(), printed.splitlines()[-len(shown.splitlines()) :]
    if len(lines) != len(last):
        return False
    expected, got = _words(lines), _words(last)
    return len(expected) == len(got) and all(map(_same, expected, got))


def _words(lines: list[str]) -> list[str]:
    rates = [heading.end() for heading in re.finditer(r"/s(?!\S)", lines[0])]
    words = []
    for line in lines:
        line = re.sub(r"[\d.,]+", lambda number: "#" if number.end() in rates else number[0], line)
        words += [*_VARIES.sub("#", line).split(), "\n"]
    return words


def _same(one: str, other: str) -> bool:
    if all(re.fullmatch(r"\d\.\d{3}", word) for word in (one, other)):
        return abs(float(one) - float(other)) <= 0.002
    return one == other


# Languages of blocks that nobody runs.
PICTURES = {"mermaid", "text"}


class Reader:
    """Somebody in a clean clone who works through the pages, as far as is asked for."""

    def __init__(self, clone: pathlib.Path, environment: dict[str, str]) -> None:
        self.clone = clone
        self._environment = environment
        self._trouble: dict[str, list[str]] = {}
        self._done: set[str] = set()

    def read(self, page: str) -> list[str]:
        """What went wrong on a page, after all that come before it."""
        for earlier in PAGES[: PAGES.index(page) + 1]:
            if earlier not in self._trouble:
                with self._messages(FEW_MESSAGES) if earlier in WITH_FEW else contextlib.nullcontext():
                    self._trouble[earlier] = [*self._work_through(earlier)]
        return self._trouble[page]

    @contextlib.contextmanager
    def _messages(self, count: int) -> Iterator[None]:
        path = self.clone / "examples" / "messages.jsonl"
        whole = path.read_bytes()
        path.write_bytes(b"".join(whole.splitlines(keepends=True)[:count]))
        yield
        path.write_bytes(whole)

    def _work_through(self, page: str) -> Iterator[str]:
        scope: dict[str, object] = {}
        printed: list[str] = []
        part = 0
        for step in steps(page):
            if step.language in PICTURES or step.text in self._done or not is_run(page, step):
                continue
            if not step.language:
                if not any(ends_with(text, step.text) for text in printed):
                    yield "\n".join(["shown:", step.text, "printed:", *(text[-2000:] for text in printed)])
                continue
            if step.part != part:
                part, printed = step.part, []
            self._done.add(step.text)
            try:
                printed.append(self._run(step, scope))
            except Exception as error:
                yield f"{step.text}\n{getattr(error, 'stderr', '')[-3000:] or traceback.format_exc()}"

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the shell.

        Raises:
            subprocess.CalledProcessError: if it does not end well.
        """
        shell = ["bash", "-o", "pipefail", "-c", command]
        return subprocess.run(
            shell, cwd=self.clone, env=self._environment, check=True, capture_output=True, text=True, timeout=1200
        )

    def _run(self, step: Step, scope: dict[str, object]) -> str:
        """What a step prints."""
        if step.language == "bash":
            return self.run(SHORTER.get(step.text, step.text)).stdout
        if step.name.endswith({"python": ".py", "yaml": ".yaml"}.get(step.language, "\0")):
            (self.clone / step.name).write_text(step.text, encoding="utf-8")
            return ""
        if step.language == "python":
            with contextlib.chdir(self.clone), contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile(step.text, "the page", "exec"), scope)
            return printed.getvalue()
        raise ValueError(f"expected a block that can be run, or its beginning in NOT_RUN, got {step.language!r}")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, minilm: TextEncoder) -> Iterator[Reader]:
    """In a copy of the tracked files, with the environment and the model that `make venv minilm` would make."""
    clone = tmp_path_factory.mktemp("clone")
    run: Callable[..., bytes] = subprocess.check_output
    for name in run(["git", "ls-files", "-z"], cwd=ROOT).decode().split("\0")[:-1]:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    run(["git", "init", "--quiet"], cwd=clone)
    run(["git", "add", "--all"], cwd=clone)
    (clone / CHECKPOINT).mkdir()
    write_checkpoint(clone / CHECKPOINT, size=TINY._replace(positions=128))
    write_saved(clone / "EXPORT")
    (clone / ".git" / "info" / "exclude").write_text(f"{CHECKPOINT}\nEXPORT\n")
    (clone / ".venv").mkdir()
    for path in pathlib.Path(sys.prefix).iterdir():
        if path.name not in ("runtime", "dev"):
            (clone / ".venv" / path.name).symlink_to(path)
    for installed in ("runtime", "dev"):
        (clone / ".venv" / installed).touch()
    # A `make` that runs under another one says so, in lines that a reader does not get.
    left_out = ("PYTHONDONTWRITEBYTECODE", "MAKELEVEL", "MAKEFLAGS", "MFLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    with warm_python(clone) as folder:
        # What the editable installation does, and a reader's `. .venv/bin/activate`.
        environment |= {"PYTHONPATH": str(clone), "PATH": f"{folder}:{clone}/.venv/bin:{os.environ['PATH']}"}
        yield Reader(clone, environment)


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_works(page: str, reader: Reader) -> None:
    """Every command and block ends well and prints what is shown."""
    trouble = reader.read(page)
    assert not trouble, "\n\n".join(trouble)


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.parametrize("command", ["python -m pipeline.search --no_such_option", "python -m pipeline.plan | cat"])
def test_a_command_that_fails_is_seen(command: str, reader: Reader) -> None:
    """By its own exit code, with its own words on standard error."""
    with pytest.raises(subprocess.CalledProcessError) as failed:
        reader.run(command)
    assert failed.value.returncode == 2
    assert command.split()[2] in failed.value.stderr


@pytest.mark.slow
@pytest.mark.subprocess
def test_git_ignores_what_the_commands_leave(reader: Reader) -> None:
    """And none of them changes a tracked file."""
    reader.read(PAGES[-1])
    command = ["git", "ls-files", "--others", "--modified", "--exclude-standard"]
    assert subprocess.check_output(command, cwd=reader.clone, text=True) == ""


def test_every_page_is_listed() -> None:
    """In the order in which it is read."""
    found = [path for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb")]
    assert sorted(PAGES) == sorted(["README.md", *(f"docs/{path.name}" for path in found)])


@pytest.mark.parametrize(("page", "beginning", "reason"), NOT_RUN)
def test_what_is_not_run_is_there(page: str, beginning: str, reason: str) -> None:
    """A mark that is left over could hide a command of another day."""
    assert any(step.text.startswith(beginning) for where in PAGES if page in ("", where) for step in steps(where))


SHOWN = """time          3.4 s, 549 sentences a second
tokens        33,610, and 1,022 of padding
0.784  Good food.  [reviews-8]
"""


@pytest.mark.parametrize(
    ("printed", "same"),
    [
        (f"before\n{SHOWN}", True),
        (SHOWN.replace("3.4 s, 549", "41.0 s, 1,200").replace("1,022", "8").replace(".784", ".783"), True),
        (SHOWN.replace("33,610", "33,611"), False),
        (SHOWN.replace(".784", ".764"), False),
        (SHOWN.replace("Good", "Fine"), False),
        (SHOWN.replace("reviews-8", "reviews-9"), False),
        (f"{SHOWN}after\n", False),
        (SHOWN.split("\n", 1)[1], False),
        ("", False),
    ],
)
def test_what_is_shown_is_compared(printed: str, same: bool) -> None:
    """But for numbers that are others on each machine."""
    assert ends_with(printed, SHOWN) == same


def test_a_column_of_rates_may_have_any_numbers() -> None:
    """The columns beside it may not."""
    shown = "model   items  items/s\nminilm    318       24\n"
    assert ends_with(shown.replace(" 24", "117"), shown)
    assert not ends_with(shown.replace("318", "319"), shown)
