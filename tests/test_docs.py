"""The documentation agrees with the code; test_docs_run.py runs what it says."""

import argparse
import doctest
import importlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tomllib

import pytest

import transforms
from pipeline import compact, evaluate, expansion_service, status
from pipeline.__main__ import main as run_pipeline
from pipeline.options import options_table
from pipeline.plan import __main__ as plan
from pipeline.report import __main__ as report
from pipeline.search import __main__ as search
from tests.benchmarks import journal, scale, soak, streams, throughput
from tests.conftest import ROOT
from transforms.encoder.text_encoder import TextEncoder
from transforms.integrations.beam_yaml import PROVIDERS

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
PARSERS: list[argparse.ArgumentParser] = [
    compact._parser(),
    evaluate._parser(),
    expansion_service._parser(),
    plan._parser(),
    report._parser(),
    search._parser(),
    status._parser(),
    journal._parser(),
    scale._parser(),
    soak._parser(),
    streams._parser(),
    throughput._parser(),
]
# Beam's own, and those of programs without a parser to ask.
OTHERS = {
    "--name",
    "--project",
    "--runner",
    "--yaml_pipeline_file",
    "--from",
    "--to",
    "--direct_running_mode",
    "--direct_num_workers",
    "--sbd",
    "--timed",
    "--without_numbers",
    "--one_block",
    "--errors",
}


def test_the_notebook_has_no_outputs() -> None:
    """They would be in every diff."""
    cells = json.loads((DOCS / "first_steps.ipynb").read_text())["cells"]
    assert not any(cell.get("outputs") for cell in cells)


def yaml_example() -> str:
    """The pipeline that the documentation shows."""
    (text,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "python.md").read_text(), re.S)
    return str(text)


def test_the_yaml_example_lists_the_transforms_of_the_package() -> None:
    """As the file does that can be included; that file is in the package, where its printed path says."""
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(yaml_example())["providers"] == yaml.safe_load(PROVIDERS.read_text())
    printed = subprocess.run(
        shlex.split(re.findall(r"`(python -c .*PROVIDERS.*?)`", (DOCS / "python.md").read_text())[0]),
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        },
        cwd="/",
    )
    assert printed.stdout == f"{PROVIDERS}\n"
    assert (
        PROVIDERS.name
        in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["transforms"]
    )


@pytest.mark.subprocess
def test_make_report_runs_its_programs_with_options_that_exist() -> None:
    """It is too slow to be run with the other commands of the README."""
    parsers = {parser.prog: parser for parser in PARSERS}
    command = ["make", "--dry-run", "--old-file=demo", "report"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"(python -m pipeline\.(?:report|evaluate)) (.*)", printed.replace("\\\n", ""))
    programs = ["report", "evaluate", "evaluate"]
    assert [program for program, _ in commands] == [f"python -m pipeline.{program}" for program in programs]
    for program, options in commands:
        parsers[program].parse_args(shlex.split(options))


@pytest.fixture
def udf_page(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page on functions of one's own, in a folder with the file that it makes and the messages that it reads."""
    text = (DOCS / "udf.md").read_text(encoding="utf-8")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "udf.py").write_text("".join(re.findall(r"```python\n(.*?)```", text, re.S)))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return text


def test_the_function_of_the_documentation_runs(
    udf_page: str, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the page's own command."""
    (command,) = re.findall(r"^    python -m pipeline (.*\\\n.*)", udf_page, re.M)
    arguments = shlex.split(command.replace("\\\n", "").replace("minilm", str(text_encoder)))
    assert run_pipeline(arguments) == 0
    assert "records       318: 282 messages, 36 filtered" in capsys.readouterr().out.splitlines()
    rows = [json.loads(line) for path in pathlib.Path("out/udf").glob("rows*") for line in path.open(encoding="utf-8")]
    assert "[address]" in "".join(row["content"] for row in rows)
    assert {pair["key"] for row in rows for pair in row["metadata"]} == {"kind", "event_time"}


@pytest.mark.slow
def test_the_functions_of_beam_yaml_run(udf_page: str) -> None:
    """Before the transforms of the package, as the page says."""
    pytest.importorskip("jinja2", reason="Beam YAML needs pip install 'apache-beam[yaml]'")
    yaml = pytest.importorskip("yaml")
    from apache_beam.yaml import main

    (fragment,) = re.findall(r"```yaml\n(.*?)```", udf_page, re.S)
    read = {"type": "ReadFromJson", "config": {"path": "examples/messages.jsonl"}}
    write = {"type": "WriteToJson", "config": {"path": "out/rows"}}
    chain = {"type": "chain", "transforms": [read, *yaml.safe_load(fragment), write]}
    pathlib.Path("pipeline.yaml").write_text(
        yaml.safe_dump({"pipeline": chain, "providers": yaml.safe_load(PROVIDERS.read_text())})
    )
    runner = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
    main.run(["--yaml_pipeline_file=pipeline.yaml", f"--runner={runner}"])
    rows = [json.loads(line) for path in pathlib.Path("out").glob("rows*") for line in path.open(encoding="utf-8")]
    assert "[address]" in "".join(row["content"] for row in rows)
    assert "newsgroup" not in {row["metadata"]["genre"] for row in rows}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere_and_options_exist(page: pathlib.Path) -> None:
    """Files are there, and each --option is one of a program's."""
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    # Their options are those of gcloud, docker, Terraform and Flink; launches are parsed by the tests of the templates.
    if page.name in ("dataflow.md", "runners.md"):
        return
    known = {option for parser in PARSERS for action in parser._actions for option in action.option_strings}
    known |= set(re.findall(r"`(--\w+)`", options_table())) | OTHERS
    assert set(re.findall(r"--\w+", text)) - known == set()


def test_each_promise_has_a_test() -> None:
    """Those that docs/reliability.md names are there."""
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", (DOCS / "reliability.md").read_text(encoding="utf-8"))
    assert len(named) > 30
    missing = [
        f"{file}::{test}"
        for file, test in named
        if f"def {test}(" not in (ROOT / "tests" / file).read_text(encoding="utf-8")
    ]
    assert missing == []


@pytest.mark.parametrize("name", sorted(transforms.__all__))
def test_the_examples_of_public_names_are_true(name: str, minilm: TextEncoder) -> None:
    """A docstring's examples, as help() shows them."""
    found = getattr(transforms, name)
    scope = {other: getattr(transforms, other) for other in transforms.__all__}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder(recurse=False).find(found, name, module=False, globs=scope):
        assert runner.run(test).failed == 0


def test_the_modules_of_public_names_have_docstrings() -> None:
    """So that help() says something at every level."""
    for module in set(transforms._MODULES.values()):
        assert importlib.import_module(f"transforms.{module}").__doc__
