"""What a launch hands to Dataflow, and whether a worker with the installed package alone can use it."""

import json
import os
import pathlib
import pickle
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from tests.conftest import DATA, ROOT
from tests.shared import Shared
from tests.templates.fake_google import FakeGoogle
from tests.templates.replay_dockerfile import context_files
from transforms.encoder.catalogue import models_directory
from transforms.types import DeadLetter, JournalEntry, Message, Record, Sentence, SentenceEmbedding

IMAGE = "europe-west1-docker.pkg.dev/my-project/images/sentence-embeddings:1"
UDF = b"def shout(message): return {**message, 'text': message['text'].upper()}"
WITH_UDF = ["--udf=gs://my-bucket/udf.py", "--udf_function=shout"]
COLUMNS = "--columns=tenant:STRING=org.id,day:DATE"
REQUIRED = {
    "streaming": [
        "--input_subscription=projects/my-project/subscriptions/messages",
        "--input_format=json",
        *WITH_UDF,
        COLUMNS,
    ],
    "batch": ["--input=gs://my-bucket/messages/*.jsonl", "--input_format=jsonl", *WITH_UDF, COLUMNS],
    # The batch template over rows that another job has written.
    "rows": [
        "--input=my-project:texts.written",
        "--input_format=bigquery",
        "--already_written=my-project:texts.written",
        "--reuse=my-project:texts.written",
    ],
}
FILES = REQUIRED["batch"][0]
# What Dataflow's launcher adds to the parameters.
ADDED = [
    "--runner=DataflowRunner",
    "--project=my-project",
    "--region=europe-west1",
    "--job_name=embeddings-1",
    "--template_location=gs://my-bucket/staging/template_launches/1/job_object",
    "--staging_location=gs://my-bucket/staging",
    "--temp_location=gs://my-bucket/temp",
    "--service_account_email=worker@my-project.iam.gserviceaccount.com",
    '--labels={"team":"search"}',
    "--max_num_workers=3",
    "--an_option_of_a_later_launcher=1",
]


class Launch(NamedTuple):
    """What a launch left behind."""

    code: int
    errors: str
    pipeline: bytes
    job: dict[str, Any]
    tables: list[str]
    calls: list[str]

    @property
    def components(self) -> Any:
        """The components of the pipeline's proto."""
        return beam_runner_api_pb2.Pipeline.FromString(self.pipeline).components


def launch(folder: pathlib.Path, *arguments: str, jobs: Sequence[str] | None = (), **environment: str) -> Launch:
    """Run the image's entry file with `arguments`, as Dataflow's launcher does, in a process of its own."""
    shutil.copy(ROOT / "templates" / "launcher.py", folder)
    with FakeGoogle({"udf.py": UDF}, jobs) as fake:
        variables = os.environ | fake.environment(folder) | {"PYTHONPATH": str(ROOT)} | environment
        command = ["python", str(folder / "launcher.py"), *arguments]
        command += [f"--dataflow_endpoint=http://{fake.address}"] if "--update" in arguments else []
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=folder, env=variables, check=False, timeout=120
        )
        uploads = {os.path.basename(name): content for name, content in fake.uploads.items()}
        job = json.loads(uploads.get("job_object", b"{}"))
        return Launch(done.returncode, done.stderr, uploads.get("pipeline.pb", b""), job, fake.tables, fake.calls)


def launch_template(name: str, folder: pathlib.Path) -> Launch:
    """A launch of REQUIRED with nothing else."""
    return launch(
        folder, *ADDED, *REQUIRED[name], "--output=my-project:texts.embeddings", "--model=minilm",
        SDK_CONTAINER_IMAGE=IMAGE,
    )  # fmt: skip


@pytest.fixture(scope="module", params=REQUIRED)
def name(request: pytest.FixtureRequest) -> str:
    """The name of each launch."""
    return str(request.param)


@pytest.fixture(scope="module")
def launched(name: str, minilm: Any, warm: None, shared: Shared) -> Launch:
    """The launch `name`."""

    def make(folder: pathlib.Path) -> None:
        (folder / "launch.pickle").write_bytes(pickle.dumps(launch_template(name, folder)))

    return Launch(*pickle.loads((shared.made(f"launch_{name}", make) / "launch.pickle").read_bytes()))


def steps(launched: Launch) -> str:
    """Each step with its outputs' coders, in the golden files' form."""
    components = launched.components
    lines = []
    for transform in components.transforms.values():
        if not transform.subtransforms and transform.spec.urn:
            coders = [
                _describe(components, components.pcollections[output].coder_id)
                for _, output in sorted(transform.outputs.items())
            ]
            # Beam's own lambdas are told apart by their line.
            name = re.sub(r"core\.py:\d+", "core.py", transform.unique_name)
            lines.append(f"{name}: {', '.join(coders)}\n")
    return "".join(sorted(lines))


_ELEMENTS: tuple[Any, ...] = (Record, Message, Sentence, SentenceEmbedding, JournalEntry, DeadLetter)
_NAMES = {element._beam_schema_id: element.__name__ for element in _ELEMENTS}


def _describe(components: Any, coder_id: str) -> str:
    coder = components.coders[coder_id]
    name = coder.spec.urn.removeprefix("beam:coder:").removesuffix(":v1")
    if name == "row":
        from apache_beam.portability.api import schema_pb2

        id = schema_pb2.Schema.FromString(coder.spec.payload).id
        return f"row {_NAMES[id]} {id}"
    inner = [_describe(components, component) for component in coder.component_coder_ids]
    return f"{name}({', '.join(inner)})" if inner else name


def test_the_launcher_starts_the_job_and_returns(launched: Launch) -> None:
    """It leaves the job where Dataflow looks for it, asks Dataflow nothing, and says what it left out."""
    assert launched.code == 0, launched.errors
    assert launched.job["name"] == "embeddings-1"
    assert not [call for call in launched.calls if "/jobs" in call]
    assert "left out --an_option_of_a_later_launcher=1" in launched.errors
    assert launched.tables == ["embeddings", "embeddings_error_records", "embeddings_journal"]


def test_the_job_is_of_the_templates_kind(name: str, launched: Launch) -> None:
    """Nobody passes --streaming."""
    assert launched.job["type"] == ("JOB_TYPE_STREAMING" if name == "streaming" else "JOB_TYPE_BATCH")


def test_workers_run_the_image_and_nothing_else(launched: Launch) -> None:
    """One environment, the image that launched, nothing to install in it, and no other language."""
    (environment,) = launched.components.environments.values()
    payload = beam_runner_api_pb2.DockerPayload.FromString(environment.payload)
    assert payload.container_image == IMAGE
    (pool,) = launched.job["environment"]["workerPools"]
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE]
    # A list of the launcher's packages, for the log.
    assert [package["name"] for package in pool["packages"]] == ["submission_environment_dependencies.txt"]


def test_steps_and_coders_are_those_on_record(name: str, launched: Launch) -> None:
    """A running job is updated by both: write them with python -m tests.templates.test_worker_contract."""
    assert steps(launched) == (DATA / f"dataflow_steps_{name}.txt").read_text()


def test_no_step_of_ours_is_named_by_a_lambda(launched: Launch) -> None:
    """Beam's own come from its core.py."""
    names = [transform.unique_name for transform in launched.components.transforms.values()]
    assert not [name for name in names if "lambda" in name.replace("<lambda at core.py", "")]


WRONG = {
    "expected --input_format of files": [FILES, "--input_format=json"],
    "standard input is read locally only": ["--input=-", "--input_format=jsonl"],
    "'no_such_model'": [FILES, "--input_format=jsonl", "--model=no_such_model"],
    "expected a table": [FILES, "--input_format=jsonl", "--output=table"],
    "expected --udf_function to be a function of gs://my-bucket/udf.py, got 'no'; it has shout": [
        FILES,
        "--input_format=jsonl",
        "--udf=gs://my-bucket/udf.py",
        "--udf_function=no",
    ],
    "expected --columns of a type of STRING": [FILES, "--input_format=jsonl", "--columns=tenant:TEXT"],
    "expected true or false": [FILES, "--input_format=jsonl", "--csv_multiline=maybe"],
}
# Launches one after the other: the arguments of each come on standard input, its code and errors go out, a line each.
_ONE_BY_ONE = """
import contextlib, io, json, sys
from templates import launcher
for line in sys.stdin:
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        code = launcher.main(json.loads(line))
    print(json.dumps([code, errors.getvalue()]))
"""


@pytest.mark.usefixtures("warm")
def test_wrong_parameters_stop_before_anything_is_staged(tmp_path: pathlib.Path, minilm: Any) -> None:
    """With one line and code 2 each."""
    (tmp_path / "one_by_one.py").write_text(_ONE_BY_ONE)
    given = [*ADDED[:-1], "--output=my-project:texts.embeddings", "--model=minilm"]
    lines = "".join(json.dumps([*given, *arguments]) + "\n" for arguments in WRONG.values())
    with FakeGoogle({"udf.py": UDF}) as fake:
        variables = os.environ | fake.environment(tmp_path) | {"PYTHONPATH": str(ROOT), "SDK_CONTAINER_IMAGE": IMAGE}
        done = subprocess.run(
            ["python", str(tmp_path / "one_by_one.py")],
            input=lines, capture_output=True, text=True, cwd=tmp_path, env=variables, check=True, timeout=120,
        )  # fmt: skip
        assert fake.uploads == {}
    for reason, line in zip(WRONG, done.stdout.splitlines(), strict=True):
        code, errors = json.loads(line)
        assert code == 2
        (said,) = [line for line in errors.splitlines() if line.startswith("python -m pipeline: ")]
        assert reason in said


@pytest.mark.usefixtures("warm")
def test_a_launch_without_an_image_for_the_workers_is_refused(tmp_path: pathlib.Path) -> None:
    """Beam's own image, the default, lacks the program."""
    refused = launch(tmp_path, *ADDED, *REQUIRED["batch"], SDK_CONTAINER_IMAGE="")
    assert (refused.code, refused.calls) == (2, [])
    assert "expected --sdk_container_image=IMAGE, got none" in refused.errors


@pytest.mark.usefixtures("warm")
def test_a_launch_that_names_no_model_takes_the_images(tmp_path: pathlib.Path) -> None:
    """What a spec says is only what a form shows: who launches by a command leaves the parameter out."""
    (tmp_path / "baked.txt").write_text("model_of_the_image")
    given = [*ADDED, *REQUIRED["batch"], "--output=my-project:texts.embeddings"]
    refused = launch(tmp_path, *given, SDK_CONTAINER_IMAGE=IMAGE, EMBEDDING_MODELS=str(tmp_path))
    assert "'model_of_the_image'" in refused.errors


@pytest.mark.usefixtures("warm")
def test_a_catalogue_model_that_the_image_lacks_is_refused(tmp_path: pathlib.Path) -> None:
    """Workers without a way out would wait for ever to download it."""
    (tmp_path / "baked.txt").write_text("bert_wiki_books_sst2")
    given = [*ADDED, *REQUIRED["batch"], "--output=my-project:texts.embeddings", "--model=sent_bert_wiki_books"]
    refused = launch(tmp_path, *given, SDK_CONTAINER_IMAGE=IMAGE, EMBEDDING_MODELS=str(tmp_path))
    assert (refused.code, refused.calls) == (2, [])
    assert "expected --model to be in the image, got 'sent_bert_wiki_books', but only" in refused.errors


GPU = [
    "--experiments=worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver",
    "--experiments=no_use_multiple_sdk_containers",
    "--worker_machine_type=g2-standard-4",
    "--disk_size_gb=100",
    "--disk_type=compute.googleapis.com/projects//zones//diskTypes/pd-ssd",
    "--precision=auto",
]


@pytest.mark.usefixtures("warm")
def test_workers_get_the_gpu_and_the_disk_that_were_asked_for(tmp_path: pathlib.Path, minilm: Any) -> None:
    """As the environment and the parameters of a launch become options of the program."""
    done = launch(
        tmp_path, *ADDED, *REQUIRED["streaming"], *GPU, "--output=my-project:texts.embeddings", "--model=minilm",
        SDK_CONTAINER_IMAGE=IMAGE,
    )  # fmt: skip
    assert done.code == 0, done.errors
    (pool,) = done.job["environment"]["workerPools"]
    assert (pool["machineType"], pool["diskSizeGb"]) == ("g2-standard-4", 100)
    assert pool["diskType"] == "compute.googleapis.com/projects//zones//diskTypes/pd-ssd"
    wanted = {experiment.removeprefix("--experiments=") for experiment in GPU[:2]}
    assert wanted <= set(done.job["environment"]["experiments"])


UPDATE = ["--update", '--transform_name_mapping={"Parse":"Parse messages"}']


@pytest.mark.usefixtures("warm")
def test_an_update_names_the_job_that_it_replaces(tmp_path: pathlib.Path, minilm: Any) -> None:
    """The one of its name that runs, with the steps that have other names now."""
    done = launch(
        tmp_path, *ADDED, *REQUIRED["streaming"], *UPDATE, "--output=my-project:texts.embeddings", "--model=minilm",
        jobs=["another", "embeddings-1"], SDK_CONTAINER_IMAGE=IMAGE,
    )  # fmt: skip
    assert done.code == 0, done.errors
    assert done.job["replaceJobId"] == "id of embeddings-1"
    assert done.job["transformNameMapping"] == {"Parse": "Parse messages"}


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        (
            ["another"],
            "expected --job_name of a job that runs in europe-west1 of my-project, to be updated, got 'embeddings-1'",
        ),
        (None, "expected the right dataflow.jobs.list on my-project, which this account lacks"),
    ],
    ids=["none", "forbidden"],
)
def test_an_update_of_no_job_is_refused(tmp_path: pathlib.Path, jobs: list[str] | None, said: str) -> None:
    """Before anything is staged; Beam would look for the job for ever."""
    given = [*ADDED, *REQUIRED["streaming"], *UPDATE, "--output=my-project:texts.embeddings", "--model=minilm"]
    refused = launch(tmp_path, *given, jobs=jobs, SDK_CONTAINER_IMAGE=IMAGE)
    assert refused.code == 2
    assert [call.partition("?")[0] for call in refused.calls][-1].endswith("/jobs")
    (line,) = [line for line in refused.errors.splitlines() if line.startswith("python -m templates.launcher: ")]
    assert said in line


@pytest.fixture(scope="module")
def installed(shared: Shared) -> pathlib.Path:
    """The interpreter of an environment with the package as a wheel, what it depends on, and no clone in sight."""
    return shared.made("installed", install) / "venv" / "bin" / "python"


def install(folder: pathlib.Path) -> None:
    """Make the environment in folder/venv."""
    for file in context_files():
        (folder / "source" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, folder / "source" / file)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    packages = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", f"--target={packages.strip()}", folder / "source"], check=True)
    # A path in a .pth file brings packages, and not their own .pth files: no editable install of this clone.
    (pathlib.Path(packages.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    shutil.rmtree(folder / "source")


_ROUND_TRIP = """
import sys
import pipeline, transforms
from apache_beam.internal import pickler
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.pipeline_context import PipelineContext

assert transforms.__file__.startswith(sys.prefix), transforms.__file__
assert pipeline.__file__.startswith(sys.prefix), pipeline.__file__
components = beam_runner_api_pb2.Pipeline.FromString(sys.stdin.buffer.read()).components
context = PipelineContext(components)
for transform in components.transforms.values():
    if transform.spec.urn == "beam:transform:pardo:v1":
        payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
        function = pickler.loads(pickler.dumps(pickler.loads(payload.do_fn.payload)))
        print("function", transform.unique_name)
        if udf := getattr(function[0], "_udf", None):
            print("udf", udf({"text": "Hi."}))
        if (sink := getattr(function[0], "_sink", None)) and (own := sink.kind.own):
            print("columns", *(column.name for column in own))
for coder_id in components.coders:
    coder = context.coders.get_by_id(coder_id)
    coder.from_runner_api(coder.to_runner_api(context), context)
    print("coder", coder_id)
"""


def test_functions_and_coders_survive_a_round_trip_in_a_worker(
    name: str, launched: Launch, installed: pathlib.Path
) -> None:
    """By Beam's default pickler, in a new process with the installed package only."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [installed, "-c", _ROUND_TRIP], input=launched.pipeline, capture_output=True, cwd=folder, check=False
        )
    assert done.returncode == 0, done.stderr.decode()
    components = launched.components
    functions = {t.unique_name for t in components.transforms.values() if t.spec.urn == "beam:transform:pardo:v1"}
    assert len(functions) > 5
    expected = {f"function {function}" for function in functions} | {f"coder {coder}" for coder in components.coders}
    # The source of a function of the user's own travels with the pipeline.
    expected |= {"udf {'text': 'HI.'}", "columns tenant day"} if name != "rows" else set()
    assert set(done.stdout.decode().splitlines()) == expected


def test_the_installed_program_runs_from_another_directory(
    installed: pathlib.Path, minilm: Any, tmp_path: pathlib.Path
) -> None:
    """`python -m pipeline` needs no clone."""
    command = [str(installed), "-m", "pipeline", "--input=-", "--input_format=text", "--model=minilm"]
    command += ["--output=rows", "--output_format=jsonl"]
    variables = os.environ | {"EMBEDDING_MODELS": str(models_directory()), "PYTHONPATH": ""}
    done = subprocess.run(
        command,
        input="Hello there. How are you?",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=variables,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("rows-*.jsonl")
    assert [json.loads(line)["content"] for line in file.read_text().splitlines()] == ["Hello there.", "How are you?"]


def test_the_installed_package_renders_the_specs(installed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """As Cloud Build does, in the image that it has built."""
    command = [str(installed), "-m", "templates.render", f"--image={IMAGE}", f"--to={tmp_path / 'specs'}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "specs").iterdir())
    assert [file.name for file in files] == ["batch_spec.json", "streaming_spec.json"]
    assert {json.loads(file.read_text())["image"] for file in files} == {IMAGE}


if __name__ == "__main__":
    for template in REQUIRED:
        with tempfile.TemporaryDirectory() as made:
            done = launch_template(template, pathlib.Path(made))
            if done.code:
                sys.exit(done.errors)
            (DATA / f"dataflow_steps_{template}.txt").write_text(steps(done))
