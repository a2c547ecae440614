"""What Dataflow's template launcher runs: the program, with the options that every launch shares."""

import os
import sys
from collections.abc import Sequence

from pipeline.__main__ import main as run
from pipeline.command_line import unknown_options
from templates.bake_model import baked_model

FIXED = (
    "--runner=DataflowRunner",
    "--output_format=bigquery",
    "--wait=false",
    # Without it, Beam would stage this module's names for the workers, which do not need them.
    "--no_save_main_session",
)
# The Dockerfile sets it to the name under which the image is pushed.
IMAGE_VARIABLE = "SDK_CONTAINER_IMAGE"


def main(argv: Sequence[str] | None = None) -> int:
    """Start the job and return. Returns 2, with one line, if an option is wrong; nothing is submitted then."""
    given = list(sys.argv[1:] if argv is None else argv)
    for argument in _unknown(given):
        # Dataflow checks a user's parameters against the metadata; options that it adds itself must not fail a launch.
        print(f"left out {argument}, an option of neither the program nor Beam", file=sys.stderr)
        given.remove(argument)
    if not any(argument.startswith("--sdk_container_image=") for argument in given):
        image = os.environ.get(IMAGE_VARIABLE, "")
        if not image:
            print(
                "expected --sdk_container_image=IMAGE, got none; workers need the image that launches the job: "
                "build it with --build-arg IMAGE=its name, or pass the parameter",
                file=sys.stderr,
            )
            return 2
        given.append(f"--sdk_container_image={image}")
    if (baked := baked_model()) and not any(argument.startswith("--model=") for argument in given):
        given.append(f"--model={baked}")
    return run([*FIXED, *given])


def _unknown(arguments: Sequence[str]) -> list[str]:
    try:
        return unknown_options(arguments)
    except ValueError:
        # A value is wrong; the program reports that itself.
        return []


if __name__ == "__main__":
    sys.exit(main())
