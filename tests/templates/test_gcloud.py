"""gcloud itself, as far as it works offline: it takes the metadata, and its parser the lines of the documentation."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from templates import render
from tests.templates.test_render import TEMPLATES
from tests.test_docs_run import pages, steps

GCLOUD = shutil.which("gcloud")
pytestmark = [
    pytest.mark.subprocess,
    pytest.mark.skipif(not GCLOUD, reason="NOT TESTED: gcloud is not installed"),
]
# Parses each line of standard input, arguments in JSON, and prints the exit code, errors, and new names of steps.
_PARSE = """
import contextlib, io, json, sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/third_party"]
from googlecloudsdk import gcloud_main
parser = gcloud_main.CreateCLI([])._CLI__parser
for line in sys.stdin:
    code, given = 0, None
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            given = parser.parse_args(json.loads(line))
        except SystemExit as error:
            code = error.code
    print(json.dumps([code, errors.getvalue(), getattr(given, "transform_name_mappings", None)]))
"""


def parsed(commands: list[list[str]], folder: pathlib.Path) -> list[tuple[int, str, dict[str, str] | None]]:
    """What gcloud's parser says of each command, which begins behind the word gcloud."""
    library = pathlib.Path(str(GCLOUD)).resolve().parents[1] / "lib"
    lines = "".join(json.dumps(command) + "\n" for command in commands)
    environment = os.environ | {"CLOUDSDK_CONFIG": str(folder), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _PARSE, str(library)],
        input=lines, capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def documented() -> list[str]:
    """Every gcloud command of README.md and docs/, and that of the build's own file."""
    found = [step.text for page in pages() for step in steps(page) if step.text.startswith("gcloud ")]
    build = (render.DIRECTORY / "cloudbuild.yaml").read_text()
    found += [line.replace("\\\n#", "") for line in re.findall(r"#     (gcloud (?:.*\\\n)*.*)", build)]
    # The text names a command without its arguments.
    return [command for command in found if command != "gcloud dataflow flex-template build"]


def test_the_parser_takes_every_documented_line(tmp_path: pathlib.Path) -> None:
    """With its flags, lists and dictionaries."""
    commands = documented()
    assert len(commands) >= 8
    results = parsed([shlex.split(command)[1:] for command in commands], tmp_path)
    wrong = [(command, errors) for command, (code, errors, _) in zip(commands, results, strict=True) if code]
    assert wrong == []


def test_the_parser_refuses_what_is_wrong(tmp_path: pathlib.Path) -> None:
    """It is not one that takes everything; names of steps are no JSON."""
    run = [
        "dataflow",
        "flex-template",
        "run",
        "x",
        "--region=r",
        "--template-file-gcs-location=gs://b/s.json",
        "--update",
    ]
    mappings = ['{"old": "new"}', "old=new,a/b=c d"]
    given = [[*run, f"--transform-name-mappings={mapping}"] for mapping in mappings]
    results = parsed([[*run, "--disk-size-gb=100"], *given], tmp_path)
    assert [code for code, *_ in results] == [2, 2, 0]
    assert results[-1][-1] == {"old": "new", "a/b": "c d"}


@pytest.mark.parametrize("name", TEMPLATES)
def test_gcloud_makes_the_same_spec(name: str, tmp_path: pathlib.Path) -> None:
    """`gcloud dataflow flex-template build --print-only` knows every field of the metadata, but drops the modes."""
    metadata = render.DIRECTORY / f"{name}_metadata.json"
    command = [str(GCLOUD), "dataflow", "flex-template", "build", "gs://bucket/spec.json", "--print-only", "--quiet"]
    command += [f"--image={render.PLACEHOLDER_IMAGE}", "--sdk-language=PYTHON", f"--metadata-file={metadata}"]
    environment = {"CLOUDSDK_CONFIG": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run([*command, "--project=p"], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    # gcloud prints the JSON as one YAML string.
    printed = json.loads(done.stdout.removeprefix("|-"))
    spec = json.loads((render.DIRECTORY / f"{name}_spec.json").read_text())
    for dropped in ("streaming", "supportsAtLeastOnce", "supportsExactlyOnce", "defaultStreamingMode"):
        spec["metadata"].pop(dropped, None)
    assert {key: printed[key] for key in spec} == spec
