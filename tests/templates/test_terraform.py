"""The Terraform module, as Terraform itself reads and plans it with the providers' recorded schema."""

import json
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from templates import render
from tests.conftest import ROOT
from tests.templates.terraform_provider import ENVIRONMENT, Provider
from tests.templates.test_render import parameters
from transforms.io.bigquery.write import _WriteRows

pytestmark = [
    pytest.mark.subprocess,
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("terraform"), reason="NOT TESTED: terraform is not installed"),
]
JOB = "google_dataflow_flex_template_job.streaming[0]"
GIVEN = {"project": "my-project", "region": "europe-west1", "subnetwork": "regions/europe-west1/subnetworks/workers"}
SPEC = {"spec": "gs://my-bucket/templates/1/streaming_spec.json"}


class Module:
    """A copy of the module, and Terraform with a state of its own."""

    def __init__(self, folder: pathlib.Path, environment: dict[str, str]) -> None:
        self.folder = folder / "templates" / "terraform"
        ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*", "__pycache__")
        shutil.copytree(render.DIRECTORY, folder / "templates", ignore=ignored)
        self._environment = os.environ | environment | {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}

    def run(self, *arguments: str, folder: str = ".", **variables: Any) -> subprocess.CompletedProcess[str]:
        """Run Terraform in a folder of the module."""
        given = {
            f"TF_VAR_{name}": value if isinstance(value, str) else json.dumps(value)
            for name, value in variables.items()
            if value is not None
        }
        return subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=self.folder / folder, env=self._environment | given, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def plan(self, **variables: Any) -> dict[str, Any]:
        """What each resource would be, and what would be done to it, by address."""
        done = self.run("plan", "-input=false", "-out=made.plan", **{**GIVEN, **SPEC, **variables})
        assert done.returncode == 0, done.stderr
        shown = json.loads(self.run("show", "-json", "made.plan").stdout)
        return {found["address"]: found["change"] for found in shown["resource_changes"]}

    def job(self, **variables: Any) -> dict[str, Any]:
        """The job that would be launched."""
        return dict(self.plan(**variables)[JOB]["after"])

    def change_state(self, kind: str, **attributes: Any) -> None:
        """Let the state say of each resource of a kind what the provider would have read."""
        path = self.folder / "terraform.tfstate"
        state = json.loads(path.read_text())
        for resource in state["resources"]:
            if resource["type"] == kind:
                resource["instances"][0]["attributes"] |= attributes
        path.write_text(json.dumps(state))


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Module]:
    """The module, without a state."""
    folder = tmp_path_factory.mktemp("terraform")
    with Provider(folder) as provider:
        found = Module(folder, provider.environment)
        done = found.run("init", "-backend=false")
        assert done.returncode == 0, done.stderr
        yield found


@pytest.fixture
def applied(module: Module) -> Iterator[Module]:
    """The module after an apply and a refresh, which finds less in the job than was sent."""
    done = module.run("apply", "-auto-approve", "-input=false", **GIVEN, **SPEC)
    assert done.returncode == 0, done.stderr
    module.change_state("google_dataflow_flex_template_job", **dict.fromkeys(ENVIRONMENT.values()))
    yield module
    (module.folder / "terraform.tfstate").unlink()


@pytest.mark.parametrize("folder", [".", "example"])
def test_terraform_validates(module: Module, folder: str) -> None:
    """Every argument, block, type and reference, by the providers' schema."""
    assert module.run("init", "-backend=false", folder=folder).returncode == 0
    done = module.run("validate", folder=folder)
    assert (done.returncode, done.stdout.split("\n")[0]) == (0, "Success! The configuration is valid."), done.stdout


def test_a_wrong_argument_does_not_validate(module: Module) -> None:
    """The schema is not one that takes everything."""
    wrong = module.folder / "wrong.tf"
    wrong.write_text('resource "google_pubsub_topic" "wrong" {\n  name = "a"\n  nmae = "b"\n}\n')
    done = module.run("validate")
    wrong.unlink()
    assert done.returncode == 1
    assert 'An argument named "nmae" is not expected here.' in done.stderr


def test_a_job_gets_parameters_of_its_template(module: Module) -> None:
    """All that are required, and else those that the provider moves into the job's environment."""
    known = parameters("streaming")
    sent = module.job(num_workers=2, disk_size_gb=50, network="n", image="i")["parameters"]
    assert set(sent) - set(known) == set(ENVIRONMENT)
    assert {name for name, parameter in known.items() if not parameter["isOptional"]} <= {*sent, "input_subscription"}


def test_a_second_apply_leaves_the_job_alone(applied: Module) -> None:
    """Although the provider has read nothing of half of its arguments."""
    assert {change["actions"][0] for change in applied.plan().values()} == {"no-op"}


@pytest.mark.parametrize(
    ("changed", "sent"),
    [
        ({"spec": "gs://my-bucket/templates/2/streaming_spec.json"}, {}),
        ({"machine_type": "c3-standard-8"}, {"workerMachineType": "c3-standard-8"}),
        ({"max_workers": 9}, {"maxNumWorkers": "9"}),
        ({"parameters": {"language": "de"}}, {"language": "de"}),
        ({"transform_name_mapping": {"Parse": "Parse messages"}}, {}),
    ],
)
def test_an_update_keeps_the_jobs_environment(applied: Module, changed: dict[str, Any], sent: dict[str, str]) -> None:
    """Whatever else changes, the job is updated in place on the machines and in the network that it had."""
    change = applied.plan(**changed)[JOB]
    assert change["actions"] == ["update"]
    before = {"workerMachineType": "c3-standard-4", "maxNumWorkers": "3", "subnetwork": GIVEN["subnetwork"]}
    assert (before | sent).items() <= change["after"]["parameters"].items()


def test_a_gpu_can_be_had(module: Module) -> None:
    """With its machine, its image and a disk that holds CUDA's libraries."""
    gpu = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
    job = module.job(additional_experiments=[gpu], machine_type="g2-standard-4", disk_size_gb=100, image="gpu:1")
    assert gpu in job["additional_experiments"]
    assert "no_use_multiple_sdk_containers" in job["additional_experiments"]
    wanted = {"workerMachineType": "g2-standard-4", "disk_size_gb": "100", "sdkContainerImage": "gpu:1"}
    assert wanted.items() <= job["parameters"].items()


def test_the_first_apply_enables_every_service(module: Module) -> None:
    """Before anything is made that needs one, and nothing more than that and what it makes."""
    plan = module.plan(spec=None)
    services = {change["after"]["service"] for address, change in plan.items() if ".services[" in address}
    assert {f"{name}.googleapis.com" for name in ("iam", "cloudresourcemanager", "dataflow", "pubsub")} <= services
    assert JOB not in plan
    assert not any(".services[" in address for address in module.plan(enable_services="false"))


def test_a_failed_vector_index_is_seen(applied: Module) -> None:
    """The provider takes a failed job for one that was made."""
    failure = {
        "error_result": [{"location": "", "message": "no", "reason": "invalidQuery"}],
        "errors": [],
        "state": "DONE",
    }
    applied.change_state("google_bigquery_job", status=[failure])
    done = applied.run("plan", "-input=false", **GIVEN, **SPEC)
    assert done.returncode == 1
    assert "Expected a vector index, but its job failed" in done.stderr


def test_alerts_are_on_all_that_can_go_wrong(module: Module) -> None:
    """By the names that the program counts under."""
    plan = module.plan()
    text = json.dumps([change["after"]["conditions"] for address, change in plan.items() if "alert_policy" in address])
    assert all(name in text for name in ("oldest_unacked_message_age", "job/system_lag", "job/is_failed"))
    counted = {name for names in re.findall(r'metric_name=~..([^"]+)..}', text) for name in names.split("|")}
    lag = {f"{_WriteRows.lag}_sum", f"{_WriteRows.lag}_count"}
    assert counted == {
        "dead_letters_(written", "spilled)", "dead_letters_refused", "rows_written", "write_retries", *lag
    }  # fmt: skip
    sources = ("bigquery/write.py", "spill.py", "retries.py")
    program = "".join((ROOT / "transforms" / "io" / name).read_text() for name in sources)
    names = ("dead_letters_written", "dead_letters_spilled", "dead_letters_refused", "rows_written", "write_retries")
    assert all(f'"{name}"' in program for name in names)


def test_an_alert_on_dead_letters_needs_no_row(module: Module) -> None:
    """Where none is written, there is no series to divide by."""
    change = module.plan()['google_monitoring_alert_policy.alerts["dead_letters"]']
    (condition,) = change["after"]["conditions"]
    (query,) = condition["condition_prometheus_query_language"]
    assert re.search(r"/ clamp_min\(sum\(delta\(.*rows_written.*\)\) or vector\(0\), 1\) > 0.01$", query["query"])


def test_the_alert_on_lag_divides_what_the_program_counts(module: Module) -> None:
    """By seconds that are milliseconds there."""
    change = module.plan()['google_monitoring_alert_policy.alerts["lag"]']
    (condition,) = change["after"]["conditions"]
    (query,) = condition["condition_prometheus_query_language"]
    names = re.findall(r'metric_name=~"(\w+)"', query["query"])
    assert names == [f"{_WriteRows.lag}_sum", f"{_WriteRows.lag}_count"]
    assert query["query"].endswith(" > 300000")


def test_views_and_statements_are_the_kept_sql(module: Module) -> None:
    """The files that are tested, with the project's names."""
    names = {"project": "my-project", "name": "texts"}
    plan = module.plan(**names, delete_retired_schedule="every 24 hours")
    one = module.plan(**names, model_version="0a")
    files = {
        name: (render.DIRECTORY / "sql" / f"{name}.sql").read_text()
        for name in (
            "vector_index",
            "delete_retired",
            "error_records_pubsub",
            "newest_embeddings",
            "current_embeddings",
        )
    }
    files = {name: sql.replace("PROJECT", "my-project").replace("DATASET", "texts") for name, sql in files.items()}

    def view(plan: dict[str, Any], name: str) -> str:
        return str(plan[f"google_bigquery_table.{name}"]["after"]["view"][0]["query"])

    def query(statement: str) -> str:
        return statement.split(" AS\n", 1)[1].removesuffix(";\n")

    for name in ("newest_embeddings", "current_embeddings", "error_records_pubsub"):
        assert view(plan, name) == query(files[name])
    of_one = query(files["current_embeddings"]).replace("WHERE TRUE\n", "WHERE model_version = '0a'\n")
    assert view(one, "current_embeddings") == of_one
    assert plan["google_bigquery_job.vector_index[0]"]["after"]["query"][0]["query"] == files["vector_index"]
    deletion = plan["google_bigquery_data_transfer_config.delete_retired[0]"]["after"]
    assert deletion["params"]["query"] == files["delete_retired"]


def test_the_index_is_made_again_with_its_table(applied: Module) -> None:
    """Or after a job that failed: the id of a job that was there before would be refused."""
    applied.change_state("google_bigquery_table", creation_time=2)
    plan = applied.plan(vector_index_attempt=3)
    assert plan["google_bigquery_job.vector_index[0]"]["after"]["job_id"].endswith("-2-3")


def test_private_addresses_take_a_subnetwork(module: Module) -> None:
    """Without Private Google Access, which the default network lacks, workers wait for ever for their image."""
    given = {name: value for name, value in GIVEN.items() if name != "subnetwork"}
    done = module.run("plan", "-input=false", **given, **SPEC)
    assert done.returncode == 1
    assert "Expected subnetwork with private_ips" in done.stderr
