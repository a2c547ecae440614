"""What Dataflow's template launcher runs: the program, with the options that every launch shares."""

import os
import sys
from collections.abc import Sequence

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.runners.dataflow.internal.apiclient import DataflowApplicationClient
from google.api_core.exceptions import Forbidden, GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud.dataflow_v1beta3 import JobState, ListJobsRequest

from pipeline.__main__ import main as run
from pipeline.command_line import unknown_options
from templates.bake_model import baked_model, is_in_image
from transforms.io.google_clients import missing_rights

FIXED = (
    "--runner=DataflowRunner",
    "--output_format=bigquery",
    "--wait=false",
    # Without it, Beam would stage this module's names for the workers, which do not need them.
    "--no_save_main_session",
)
# The Dockerfile sets it to the name under which the image is pushed.
IMAGE_VARIABLE = "SDK_CONTAINER_IMAGE"
# How long one page of the list of jobs may take.
_LOOK_UP_SECONDS = 60


def main(argv: Sequence[str] | None = None) -> int:
    """Start the job and return. Returns 2, with one line, if an option is wrong; nothing is submitted then."""
    given = list(sys.argv[1:] if argv is None else argv)
    for argument in _unknown(given):
        # Dataflow checks a user's parameters against the metadata; options that it adds itself must not fail a launch.
        print(f"left out {argument}, an option of neither the program nor Beam", file=sys.stderr)
        given.remove(argument)
    try:
        given += [*_image(given), *_model(given)]
        _check_update(given)
    except ValueError as error:
        print(f"python -m templates.launcher: {error}", file=sys.stderr)
        return 2
    return run([*FIXED, *given])


def _unknown(arguments: Sequence[str]) -> list[str]:
    try:
        return unknown_options(arguments)
    except ValueError:
        # A value is wrong; the program reports that itself.
        return []


def _image(arguments: Sequence[str]) -> list[str]:
    """The workers' image, if the arguments do not name it."""
    if any(argument.startswith("--sdk_container_image=") for argument in arguments):
        return []
    if image := os.environ.get(IMAGE_VARIABLE, ""):
        return [f"--sdk_container_image={image}"]
    raise ValueError(
        "expected --sdk_container_image=IMAGE, got none; workers need the image that launches the job: "
        "build it with --build-arg IMAGE=its name, or pass the parameter"
    )


def _model(arguments: Sequence[str]) -> list[str]:
    """The model that is baked into the image, if there is one and the arguments name none."""
    baked = baked_model()
    names = [argument.removeprefix("--model=") for argument in arguments if argument.startswith("--model=")]
    if baked and not names:
        return [f"--model={baked}"]
    for name in names:
        if baked and not is_in_image(name):
            raise ValueError(
                f"expected --model to be in the image, got {name!r}, but only {baked!r} is; leave it out, build an "
                f"image with MODEL={name}, or give the model's handle, which each worker then downloads"
            )
    return []


def _check_update(arguments: Sequence[str]) -> None:
    """Look for the job to update, because Beam would look for ever for one that is not there.

    Raises:
        ValueError: if no job of the name runs, or jobs cannot be listed.
    """
    options = PipelineOptions(list(arguments)).view_as(GoogleCloudOptions)
    if not options.update:
        return
    place = f"{options.region} of {options.project}"
    request = ListJobsRequest(project_id=options.project, location=options.region, filter=ListJobsRequest.Filter.ACTIVE)
    try:
        # Beam's client has the credentials and the address that Beam will use.
        jobs = DataflowApplicationClient(options)._jobs_client.list_jobs(request, timeout=_LOOK_UP_SECONDS)
        # The states that Beam looks for.
        states = (JobState.JOB_STATE_RUNNING, JobState.JOB_STATE_DRAINING)
        if any(job.name == options.job_name and job.current_state in states for job in jobs):
            return
    except Forbidden as error:
        raise missing_rights(options.project, ["dataflow.jobs.list"]) from error
    except (GoogleAPIError, GoogleAuthError) as error:
        raise ValueError(f"expected to find the job to update in {place}, could not list jobs: {error}") from error
    raise ValueError(
        f"expected --job_name of a job that runs in {place}, to be updated, got {options.job_name!r}; launch it "
        "without --update, or by the name and in the region of the running job"
    )


if __name__ == "__main__":
    sys.exit(main())
