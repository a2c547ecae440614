"""The Flex Templates' metadata and specs: made from the options, taken by gcloud, and no stricter than the program."""

import json
import pathlib
import re
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.command_line import parse
from pipeline.options import OPTIONS, SOURCES
from templates import render
from templates.launcher import FIXED
from tests.conftest import ROOT

TEMPLATES = {template.name: template for template in render.TEMPLATES}
REQUIRED = {
    "streaming": {
        "input_subscription": "projects/my-project/subscriptions/messages",
        "input_format": "json",
        "output": "my-project:texts.embeddings",
    },
    "batch": {
        "input": "gs://my-bucket/messages/*.jsonl",
        "input_format": "jsonl",
        "output": "my-project:texts.embeddings",
    },
}
# Values that a parameter takes and values that it refuses, beside what choices and numbers say.
GOOD = {
    "input": (
        "gs://my-bucket/messages/*.jsonl",
        "gs://my-bucket/folder/",
        "my-project:texts.embeddings",
        "example.com:my-project:texts.embeddings",
    ),
    "input_subscription": ("projects/my-project/subscriptions/messages", "projects/example.com:p/subscriptions/a-b.c"),
    "output": ("my-project:texts.embeddings", "my-project.texts.embeddings", "example.com:my-project:texts.embeddings"),
    "already_written": ("my-project:texts.embeddings", "my-project.texts.embeddings"),
    "reuse": ("my-project:texts.embeddings", "my-project.texts.embeddings"),
    "dead_letters": ("my-project:texts.embeddings_error_records",),
    "model": (
        "bert_wiki_books_sst2",
        "minilm",
        "https://tfhub.dev/google/universal-sentence-encoder/4",
        "/models/mine",
    ),
    "preprocessor": ("https://tfhub.dev/tensorflow/bert_en_uncased_preprocess/3", "gs://my-bucket/preprocessor"),
    "language": ("en", "pt-BR", "auto"),
    "sdk_container_image": (
        "europe-west1-docker.pkg.dev/p/r/sentence-embeddings:1",
        "gcr.io/p/i@sha256:0123456789abcdef",
    ),
    "number_of_worker_harness_threads": ("1", "12"),
    "disk_size_gb": ("30", "100"),
    "disk_type": ("compute.googleapis.com/projects//zones//diskTypes/pd-ssd",),
}
BAD = {
    "input": ("-", "messages.jsonl", "gs://", "s3://bucket/x", "texts.embeddings", "my-project:texts"),
    "input_subscription": (
        "messages",
        "projects/p/topics/messages",
        "projects/p/subscriptions/1a",
        "subscriptions/abc",
    ),
    "output": ("texts.embeddings", "my-project:texts", "gs://my-bucket/rows", "my-project:texts.embeddings$20260101"),
    "already_written": ("texts.embeddings", "gs://my-bucket/rows/*.parquet"),
    "reuse": ("texts.embeddings", "gs://my-bucket/rows/*.parquet"),
    "dead_letters": ("dead_letters", "my project:a.b"),
    "model": ("", "my model", "ftp://example.com/model"),
    "preprocessor": ("two words",),
    "language": ("english", "e", "en_", "auto-BR"),
    "sdk_container_image": ("image", "gcr.io/p/i image"),
    "number_of_worker_harness_threads": ("0", "-1", "two"),
    "disk_size_gb": ("0", "50GB"),
    "disk_type": ("pd-ssd",),
}


def parameters(name: str) -> dict[str, dict[str, Any]]:
    """The parameters of a kept metadata file, by name."""
    metadata = json.loads((render.DIRECTORY / f"{name}_metadata.json").read_text())
    return {parameter["name"]: parameter for parameter in metadata["parameters"]}


def takes(parameter: dict[str, Any], value: str) -> bool:
    """Whether a value matches every regex of a parameter."""
    return all(re.search(regex, value) for regex in parameter.get("regexes", ()))


ALL = [
    pytest.param(name, parameter, id=f"{name}-{key}")
    for name in TEMPLATES
    for key, parameter in parameters(name).items()
]


@pytest.mark.parametrize("file", render.files())
def test_the_kept_files_are_rendered(file: str) -> None:
    """After a change of the options: python -m templates.render."""
    assert (render.DIRECTORY / file).read_text() == render.files()[file]


def test_no_rendered_file_is_left_over() -> None:
    """What is no longer rendered is deleted."""
    kept = sorted(path.relative_to(render.DIRECTORY).as_posix() for path in render.DIRECTORY.rglob("*.json"))
    assert kept == sorted(file for file in render.files() if file.endswith(".json"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_spec_keeps_what_gcloud_drops(name: str, tmp_path: pathlib.Path) -> None:
    """`streaming` and the flags beside it stand in the spec that is uploaded, and the image that was asked for."""
    assert render.main(["--image=gcr.io/p/i:1", f"--to={tmp_path}"]) == 0
    spec = json.loads((tmp_path / f"{name}_spec.json").read_text())
    assert spec["image"] == "gcr.io/p/i:1"
    assert spec["sdkInfo"] == {"language": "PYTHON"}
    flags = {key: value for key, value in spec["metadata"].items() if key not in ("name", "description", "parameters")}
    streaming = {"streaming": True, "supportsAtLeastOnce": True, "supportsExactlyOnce": True}
    assert flags == ({**streaming, "defaultStreamingMode": "AT_LEAST_ONCE"} if name == "streaming" else {})


@pytest.mark.parametrize("given", ["--model=minilm", ""], ids=["given", "baked"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_spec_defaults_to_the_images_model(
    name: str, given: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launch that names no model runs the one that is baked in, whoever renders the spec."""
    monkeypatch.setenv("EMBEDDING_MODELS", str(tmp_path))
    if not given:
        (tmp_path / "baked.txt").write_text("minilm")
    assert render.main(["--image=gcr.io/p/i:1", f"--to={tmp_path}", *filter(None, [given])]) == 0
    parameters = json.loads((tmp_path / f"{name}_spec.json").read_text())["metadata"]["parameters"]
    assert [found["defaultValue"] for found in parameters if found["name"] == "model"] == ["minilm"]


def test_a_directory_of_the_clone_is_none_of_the_image(tmp_path: pathlib.Path) -> None:
    """A model's place in the image is what a launch takes."""
    with pytest.raises(SystemExit):
        render.main(["--image=gcr.io/p/i:1", f"--to={tmp_path}", "--model=models/mine"])


@pytest.mark.parametrize(("name", "parameter"), ALL)
def test_a_parameter_is_an_option_with_its_default(name: str, parameter: dict[str, Any]) -> None:
    """What a launch leaves out is what the program takes by itself."""
    options, beam_options = parse([*FIXED, *launch(name)])
    stated = parameter.get("defaultValue", "")
    if parameter["name"] in REQUIRED[name]:
        assert not stated
    elif hasattr(options, parameter["name"]):
        value = getattr(options, parameter["name"])
        assert stated == (str(value).lower() if isinstance(value, bool) else str(value))
    else:
        assert beam_options.get_all_options()[parameter["name"]] is None
        assert not stated


@pytest.mark.parametrize(("name", "parameter"), ALL)
def test_a_parameter_is_required_if_the_program_asks_for_it(name: str, parameter: dict[str, Any]) -> None:
    """And else optional."""
    if parameter["isOptional"]:
        assert parameter["name"] not in REQUIRED[name]
        return
    with pytest.raises(ValueError, match=f"--{parameter['name']}"):
        parse([*FIXED, *launch(name, **{parameter["name"]: None})])


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_option_that_a_user_may_set_is_a_parameter(name: str) -> None:
    """All but those that the template fixes, other sources, options of the other kind of input and of our source."""
    template = TEMPLATES[name]
    missing = {option.name for option in OPTIONS} - set(parameters(name))
    fixed = {"output_format", "wait", "max_dead_letters", "source"} | set(SOURCES) - {template.source}
    fixed |= {option.name for option in OPTIONS if option.parent == "source"}
    other = {option.name for option in OPTIONS if option.reads not in ("", template.reads)}
    assert missing == fixed | other


@pytest.mark.parametrize(("name", "parameter"), ALL)
def test_regexes_take_what_the_program_takes(name: str, parameter: dict[str, Any]) -> None:
    """Choices, defaults, the least number, and the examples; and refuse what is none of them."""
    key = parameter["name"]
    good = [option["value"] for option in parameter.get("enumOptions", ())]
    good += [parameter["defaultValue"]] if parameter.get("defaultValue") else []
    good += [value for value in (REQUIRED[name].get(key),) if value]
    good += GOOD.get(key, ())
    bad = list(BAD.get(key, ()))
    option = next((option for option in OPTIONS if option.name == key), None)
    if option and parameter["paramType"] == "NUMBER":
        good += [str(option.minimum), "10", "99999"]
        bad += ["-1", "x", "1.5", ""] + ([str(option.minimum - 1)] if option.minimum else [])
    if parameter["paramType"] in ("ENUM", "BOOLEAN"):
        bad += ["maybe", "TRUE", ""]
        good += ["true", "false"] if parameter["paramType"] == "BOOLEAN" else []
    assert [value for value in good if not takes(parameter, value)] == []
    assert [value for value in bad if takes(parameter, value)] == []
    for value in good:
        parse([*FIXED, *launch(name, **{key: value})])
    free = parameter["paramType"] == "TEXT" and key not in GOOD
    assert free or (good and bad)


def test_the_documented_launches_are_launches() -> None:
    """Their parameters are those of their template, their values pass, and nothing that is required is missing."""
    text = (ROOT / "docs" / "dataflow.md").read_text()
    found = re.findall(r"/templates/BUILD/(\w+)_spec\.json \\\n(?:.*\\\n)*? +--parameters=(\S+)", text)
    assert [name for name, _ in found] == ["streaming", "batch"]
    for name, given in found:
        delimiter, pairs = ("~", given.strip("'").removeprefix("^~^")) if "^~^" in given else (",", given)
        values = dict(pair.split("=", 1) for pair in pairs.split(delimiter))
        known = parameters(name)
        assert [key for key, value in values.items() if not takes(known[key], value)] == []
        assert {key for key, parameter in known.items() if not parameter["isOptional"]} <= set(values)


@pytest.mark.parametrize(("name", "parameter"), ALL)
def test_a_regex_is_re2(name: str, parameter: dict[str, Any]) -> None:
    """Dataflow's regexes know no look-around, no back reference and no Python group."""
    for regex in parameter.get("regexes", ()):
        assert re.fullmatch(r"\^.*\$", regex)
        assert not re.search(r"\(\?|\\[0-9]", regex)


@pytest.mark.parametrize(("name", "parameter"), ALL)
def test_a_parameter_depends_on_one_that_is_there(name: str, parameter: dict[str, Any]) -> None:
    """A parent is a parameter of the same template, and its triggers are values of it."""
    if "parentName" not in parameter:
        assert parameter["groupName"]
        return
    parent = parameters(name)[parameter["parentName"]]
    values = {option["value"] for option in parent.get("enumOptions", ())}
    assert set(parameter.get("parentTriggerValues", ())) <= values
    assert "parentTriggerValues" in parameter or parent["paramType"] == "TEXT"


def test_the_programs_own_beam_options_are_beams() -> None:
    """A parameter that is none of ours is one of Beam's."""
    known = PipelineOptions([]).get_all_options()
    assert {option.name for option in render.BEAM_OPTIONS} <= set(known)


def launch(name: str, **changes: str | None) -> list[str]:
    """The arguments of a launch of a template with what it requires, `changes` setting more or, by None, less."""
    chosen = REQUIRED[name] | changes
    return [f"--{key}={value}" for key, value in chosen.items() if value is not None]
