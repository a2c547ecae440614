"""The program of docs/java.md, compiled and run on Prism and on Flink over the expansion service."""

import contextlib
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest

from pipeline.runners import RunnerMissingError
from pipeline.servers import free_port, port_of, served
from tests.conftest import ROOT
from tests.integration.conftest import not_tested

pytestmark = [pytest.mark.slow, pytest.mark.subprocess]
JAVA = ROOT / "tests" / "integration" / "java"
SECONDS = 300


def program() -> str:
    """The Java of the page."""
    (text,) = re.findall(r"```java\n(.*?)```", (ROOT / "docs" / "java.md").read_text(), re.S)
    return str(text)


def class_path(folder: pathlib.Path) -> str:
    """The jars of the pom, as Maven has them or gets them."""
    for tool in ("mvn", "javac"):
        if not shutil.which(tool):
            not_tested(RunnerMissingError(f"expected {tool!r} on the PATH, which compiles docs/java.md, got none"))
    command = ["mvn", "--batch-mode", "--quiet", f"--file={JAVA}/pom.xml", "dependency:build-classpath"]
    done = subprocess.run(
        [*command, f"-Dmdep.outputFile={folder}/jars.txt"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        not_tested(RunnerMissingError(f"expected Maven to get the jars of {JAVA}/pom.xml, got {done.stdout[-500:]}"))
    return (folder / "jars.txt").read_text()


def test_the_example_is_short() -> None:
    """What it takes to call the transforms fits on a screen."""
    assert len([line for line in program().splitlines() if line.strip()]) <= 25


@pytest.mark.runner
@pytest.mark.parametrize("runner", ["prism", "flink"])
def test_the_java_program_gets_typed_rows(
    runner: str, minilm: Any, tmp_path: pathlib.Path, request: pytest.FixtureRequest
) -> None:
    """With its own steps before and behind those in Python."""
    found = request.getfixturevalue(runner)
    jars = class_path(tmp_path)
    service, job_server = (f"localhost:{free_port()}" for _ in range(2))
    source = tmp_path / "EmbedSentencesFromJava.java"
    source.write_text(program().replace("localhost:9097", service))
    compile_ = ["javac", "-cp", jars, "-d", str(tmp_path), str(source), f"{JAVA}/WithWorkers.java"]
    subprocess.run(compile_, check=True, timeout=SECONDS)
    started = [([sys.executable, "-m", "pipeline.expansion_service", f"--port={port_of(service)}"], service)]
    if runner == "prism":
        started.append(([found, f"--job_port={port_of(job_server)}", "--serve_http=false"], job_server))
    with contextlib.ExitStack() as stack:
        for command, endpoint in started:
            stack.enter_context(served(command, endpoint))
        done = subprocess.run(
            ["java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{tmp_path}:{jars}", "WithWorkers",
             "--runner=PortableRunner", f"--jobEndpoint={job_server if runner == 'prism' else found}"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert sorted((tmp_path / "rows.txt").read_text().splitlines()) == ["Bye. 384", "Hello there. 384"]
