"""Cloud Build and Terraform: what can be said of them without a cloud."""

import json
import pathlib
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from templates import render
from tests.templates.test_dockerfile import ARGUMENTS
from tests.templates.test_render import parameters, takes
from transforms.columns import own_columns
from transforms.schema import (
    DEAD_LETTER_LAYOUT,
    EMBEDDING_COLUMNS,
    EMBEDDING_LAYOUT,
    JOURNAL_LAYOUT,
    Partitioning,
    bigquery_schema,
)

TERRAFORM = render.DIRECTORY / "terraform"
MAIN = (TERRAFORM / "main.tf").read_text()
VARIABLES = (TERRAFORM / "variables.tf").read_text()
BUILD: dict[str, Any] = yaml.safe_load((render.DIRECTORY / "cloudbuild.yaml").read_text())


def block(kind: str, name: str) -> str:
    """A resource's text in main.tf."""
    (found,) = re.findall(rf'^resource "{kind}" "{name}" {{\n(.*?)^}}', MAIN, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.subprocess
@pytest.mark.skipif(not shutil.which("terraform"), reason="NOT TESTED: terraform is not installed")
def test_terraform_is_formatted_and_can_be_read() -> None:
    """`terraform fmt -check`, which fails on what is no HCL."""
    command = ["terraform", f"-chdir={TERRAFORM}", "fmt", "-check", "-recursive", "-diff"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_every_variable_is_used_and_described() -> None:
    """And no other is."""
    text = "".join(path.read_text() for path in TERRAFORM.glob("*.tf"))
    declared = re.findall(r'^variable "(\w+)" {\n  description = ".+"$', text, re.MULTILINE)
    assert len(declared) == text.count('\nvariable "') + text.startswith('variable "')
    assert set(declared) == set(re.findall(r"\bvar\.(\w+)", text))


@pytest.mark.parametrize(
    ("table", "layout"),
    [("embeddings", EMBEDDING_LAYOUT), ("error_records", DEAD_LETTER_LAYOUT), ("journal", JOURNAL_LAYOUT)],
)
def test_tables_are_laid_out_as_the_program_lays_them_out(table: str, layout: Partitioning) -> None:
    """The same partitions, clusters and columns, whoever makes the table."""
    text = block("google_bigquery_table", table)
    for name in ("partition_by", "cluster_by"):
        default = re.search(rf'^variable "{name}" .*?^  default +=( .*)$', VARIABLES, re.MULTILINE | re.DOTALL)
        assert default
        text = text.replace(f" var.{name}\n", f"{default[1]}\n")
    assert re.search(r'field += "(\w+)"', text)[1] == layout.partition  # type: ignore[index]
    assert tuple(re.findall(r'"(\w+)"', re.search(r"clustering += \[(.*)\]", text)[1])) == layout.cluster  # type: ignore[index]
    assert f"{table}_schema.json" in text


@pytest.mark.subprocess
@pytest.mark.skipif(not shutil.which("terraform"), reason="NOT TESTED: terraform is not installed")
def test_own_columns_are_those_that_the_program_adds(tmp_path: pathlib.Path) -> None:
    """The table has them, and the job is told of them, as Terraform itself computes both; without any, as before."""
    declared = re.search(r'^variable "columns" {\n.*?^}\n', VARIABLES, re.MULTILINE | re.DOTALL)
    (columns,) = re.findall(r"^  columns = \[\n.*?^  \]\n", MAIN, re.MULTILINE | re.DOTALL)
    (parameter,) = re.findall(r"^  own_columns = .*?^  }\n", MAIN, re.MULTILINE | re.DOTALL)
    assert declared
    (tmp_path / "main.tf").write_text(f"{declared[0]}locals {{\n{columns}{parameter}}}\n")
    (schema,) = re.findall(r"schema += (.*)", block("google_bigquery_table", "embeddings"))
    schema = schema.replace("${path.module}", str(TERRAFORM))
    given = [{"name": "tenant", "type": "STRING", "field": "org.id"}, {"name": "day", "type": "DATE"}]
    for chosen in (given, []):
        (tmp_path / "terraform.tfvars.json").write_text(json.dumps({"columns": chosen}))
        command = ["terraform", f"-chdir={tmp_path}", "console"]
        asked = f'jsonencode([{schema}, lookup(local.own_columns, "columns", "")])\n'
        done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
        table, told = json.loads(json.loads(done.stdout))
        own = [column for column, _ in own_columns(told.split(",") if told else ())]
        assert json.loads(table) == bigquery_schema((*EMBEDDING_COLUMNS, *own))["fields"]
        assert told == ("tenant:STRING=org.id,day:DATE=day" if chosen else "")


def test_the_subscription_has_no_dead_letter_topic() -> None:
    """Dataflow does not support one."""
    assert "dead_letter_policy" not in block("google_pubsub_subscription", "messages")


def test_the_service_account_has_no_role_that_administers() -> None:
    """Least privilege: of a project only what every worker needs, all else of single resources."""
    roles = set(re.findall(r"roles/[\w.]+", MAIN))
    assert roles == {
        "roles/dataflow.worker",
        "roles/dataflow.viewer",
        "roles/storage.objectAdmin",
        "roles/artifactregistry.reader",
        "roles/pubsub.subscriber",
        "roles/pubsub.viewer",
        "roles/bigquery.dataEditor",
        "roles/bigquery.jobUser",
    }
    assert re.findall(r"roles/[\w.]+", block("google_project_iam_member", "deletion")) == ["roles/bigquery.jobUser"]
    job = re.findall(r"roles/[\w.]+", block("google_project_iam_member", "job"))
    assert job == ["roles/dataflow.worker", "roles/dataflow.viewer"]


def test_retired_rows_are_deleted_only_if_a_schedule_says_so() -> None:
    """By an account that may run queries and change the two tables, and nothing else."""
    condition = "var.delete_retired_schedule == null"
    kinds = ("google_bigquery_data_transfer_config", "google_service_account", "google_project_iam_member")
    names = ("delete_retired", "deletion", "deletion")
    assert all(f"count = {condition} ? 0 : 1\n" in block(*pair) for pair in zip(kinds, names, strict=True))
    assert f"for_each = {condition} ? {{}} :" in block("google_bigquery_table_iam_member", "deletion")


def test_the_build_gives_the_dockerfile_its_arguments() -> None:
    """Each of them, with the Dockerfile's own defaults."""
    (build,) = [step["args"] for step in BUILD["steps"] if step["id"] == "build"]
    given = dict(argument.removeprefix("--build-arg=").split("=", 1) for argument in build if "--build-arg" in argument)
    assert set(given) == set(ARGUMENTS)
    for name, value in given.items():
        if name != "IMAGE":
            assert BUILD["substitutions"][value.strip("${}")] == ARGUMENTS[name].strip('"')


def test_no_build_overwrites_the_specs_of_another() -> None:
    """A job is updated, and goes back, by the name of its spec."""
    (upload,) = [step["args"] for step in BUILD["steps"] if step["id"] == "upload"]
    assert upload[-1] == "${_BUCKET}/templates/${BUILD_ID}/"


def test_every_substitution_is_declared_and_used() -> None:
    """Cloud Build refuses others."""
    text = "".join(str(step) for step in BUILD["steps"])
    assert set(re.findall(r"\${(_\w+)}", text)) == set(BUILD["substitutions"])


def test_the_image_that_is_built_is_one_that_the_template_takes() -> None:
    """Its name passes the parameter's regex, and all steps speak of the same."""
    images = {image for step in BUILD["steps"] for image in re.findall(r"\S*/sentence-embeddings:[^'\s\"]+", str(step))}
    names = {image.removeprefix("--build-arg=IMAGE=").split("=")[-1].strip("'[],") for image in images}
    assert len(names) == 1
    name = names.pop().replace("${_REPOSITORY}", "europe-west1-docker.pkg.dev/p/r").replace("${BUILD_ID}", "ab-12")
    assert takes(parameters("batch")["sdk_container_image"], name)
