"""The expansion service as a process of its own, called from Python as other languages call it."""

import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.external import ExternalTransform, SchemaAwareExternalTransform
from apache_beam.transforms.fully_qualified_named_transform import FullyQualifiedNamedTransform

from pipeline import expansion_service
from pipeline.servers import free_port, served
from tests.conftest import ROOT
from transforms.integrations.schema_transforms import EMBED, SPLIT

COMMAND = [sys.executable, "-m", "pipeline.expansion_service"]
ROWS = [beam.Row(key="m1", body="Hello there. How are you?")]


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """host:port of a running service."""
    endpoint = f"localhost:{free_port()}"
    with served(
        [*COMMAND, f"--port={endpoint.split(':')[1]}"], endpoint, environment={"PYTHONPATH": str(ROOT)}
    ) as process:
        yield endpoint
        # The workers of pipelines that have ended do not keep it.
        process.terminate()
        assert process.wait(30) == 0


def asked(service: str, identifier: str, **options: Any) -> Any:
    """The transform `identifier` of the service."""
    return identifier >> SchemaAwareExternalTransform(identifier, service, rearrange_based_on_discovery=True, **options)


@pytest.mark.slow
@pytest.mark.subprocess
def test_rows_are_split_and_embedded(service: str, text_encoder: pathlib.Path) -> None:
    """Typed rows in, typed rows out, with the vectors as floats."""
    with beam.Pipeline("FnApiRunner") as pipeline:
        sentences = pipeline | beam.Create(ROWS) | asked(service, SPLIT, text_field="body", id_field="key")
        rows = sentences | asked(service, EMBED, model=str(text_encoder))
        found = rows | beam.Map(lambda row: (row.message_id, row.content, type(row.embedding[0])))
        assert_that(found, equal_to([("m1", "Hello there.", float), ("m1", "How are you?", float)]))


@pytest.mark.slow
@pytest.mark.subprocess
def test_a_transform_is_found_by_its_python_name_too(service: str) -> None:
    """As Java's PythonExternalTransform asks for it."""
    urn, call = FullyQualifiedNamedTransform(
        "transforms.SplitSentences", (), {"text_field": "body"}
    ).to_runner_api_parameter(None)
    with beam.Pipeline("FnApiRunner") as pipeline:
        sentences = pipeline | beam.Create(ROWS) | ExternalTransform(urn, call.SerializeToString(), service)
        found = sentences | beam.Map(lambda sentence: sentence.content)
        assert_that(found, equal_to(["Hello there.", "How are you?"]))


@pytest.mark.slow
@pytest.mark.subprocess
def test_dead_letters_are_an_output(service: str) -> None:
    """Under the name that error_handling gives."""
    with beam.Pipeline("FnApiRunner") as pipeline:
        rows = pipeline | beam.Create([*ROWS, beam.Row(key="m2", body="x" * 3)])
        split = asked(service, SPLIT, text_field="body", timestamp_field="key", error_handling={"output": "bad"})
        found = (rows | split)["bad"] | beam.Map(lambda letter: letter.stage)
        assert_that(found, equal_to(["Take texts"] * 2))


@pytest.mark.slow
@pytest.mark.subprocess
def test_yaml_takes_the_transforms_from_the_service(
    service: str, text_encoder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """By Beam's provider `remote`."""
    pytest.importorskip("jinja2", reason="Beam YAML needs pip install 'apache-beam[yaml]'")
    from apache_beam.yaml import main

    (providers,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "java.md").read_text(), re.S)
    text = f"""
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {{elements: [{{text: "Hello there. How are you?"}}]}}
    - type: SplitSentences
      config: {{language: en}}
    - type: EmbedSentences
      config: {{model: {text_encoder}}}
    - type: WriteToJson
      config: {{path: {tmp_path}/rows}}
{providers.replace("localhost:9097", service)}
"""
    main.run([f"--yaml_pipeline={text}", "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"])
    rows = [json.loads(line) for path in tmp_path.glob("rows*") for line in path.read_text().splitlines()]
    assert sorted(row["content"] for row in rows) == ["Hello there.", "How are you?"]
    assert all(isinstance(row["embedding"], list) for row in rows)


@pytest.mark.slow
@pytest.mark.subprocess
def test_a_wrong_option_is_one_line(service: str) -> None:
    """What a stage says, without a traceback."""
    pipeline = beam.Pipeline("FnApiRunner")
    with pytest.raises(RuntimeError) as raised:
        _ = pipeline | beam.Create(ROWS) | asked(service, SPLIT, newlines="hard")
    assert str(raised.value).startswith("expected newlines")
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.slow
@pytest.mark.subprocess
def test_code_is_not_taken_for_a_transform(service: str) -> None:
    """Beam's own service runs what it unpickles."""
    pipeline = beam.Pipeline("FnApiRunner")
    with pytest.raises(RuntimeError, match="expected a transform asked for by .*, got 'beam:transform:pickled_python"):
        _ = pipeline | beam.Create(ROWS) | ExternalTransform(python_urns.PICKLED_TRANSFORM, b"", service)


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service(number: signal.Signals) -> None:
    """It says where it listens, and then nothing else."""
    with subprocess.Popen(
        [*COMMAND, "--port=0"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        said = process.stdout.readline()
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
    assert said.startswith("serving on localhost:")
    assert (process.returncode, rest, errors) == (0, "", "")


def test_a_port_in_use_is_refused_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """With code 2."""
    with socket.create_server(("localhost", 0)) as taken:
        port = taken.getsockname()[1]
        assert expansion_service.main([f"--port={port}"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert f"expected --host and --port to be free, got localhost:{port}" in line


@pytest.mark.parametrize("where", [["--port=70000"], ["--port=0", "--host=no.such.host.invalid"]])
def test_an_address_that_there_is_not_is_refused_in_one_line(
    where: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """With code 2."""
    assert expansion_service.main(where) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "expected --host and --port to be free" in line


@pytest.mark.parametrize(
    "given",
    [
        ["--environment_type=DOCKER"],
        ["--environment_config=image"],
        ["--environment_type=CLOUD"],
        ["--environment=x"],
        [],
    ],
)
def test_wrong_options_are_refused(given: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Half of an environment, one that there is not, an unknown name, and no port."""
    with pytest.raises(SystemExit) as raised:
        expansion_service.main([*given, *(["--port=0"] if given else [])])
    assert raised.value.code == 2
    assert "python -m pipeline.expansion_service: " in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.subprocess
def test_the_transforms_run_where_the_service_was_told() -> None:
    """In an image, for one."""
    endpoint = f"localhost:{free_port()}"
    options = [f"--port={endpoint.split(':')[1]}", "--environment_type=DOCKER", "--environment_config=an/image:1"]
    pipeline = beam.Pipeline("FnApiRunner")
    with served([*COMMAND, *options], endpoint, environment={"PYTHONPATH": str(ROOT)}):
        _ = pipeline | beam.Create(ROWS) | asked(endpoint, SPLIT, text_field="body")
    environments = pipeline.to_runner_api().components.environments.values()
    images = [beam_runner_api_pb2.DockerPayload.FromString(each.payload).container_image
              for each in environments if each.urn == "beam:env:docker:v1"]  # fmt: skip
    assert "an/image:1" in images
