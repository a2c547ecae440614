import argparse
import pathlib
from typing import Any

import pytest

from pipeline import checks
from pipeline.arguments import add_options
from pipeline.options import OPTIONS
from pipeline.settings import Settings, settings_of
from tests.conftest import as_arguments


def settings(**options: Any) -> Settings:
    """The settings of a run, which is not started."""
    parser = argparse.ArgumentParser()
    add_options(parser, OPTIONS)
    needed = {"input": "in", "input_format": "text", "output": "out", "output_format": "jsonl"}
    return settings_of(parser.parse_args(as_arguments(needed | options)))


def test_another_version_than_the_pinned_one_is_refused_before_work(text_encoder: pathlib.Path) -> None:
    """Whatever the runner, if the files are here; what a worker will download cannot be known."""
    with pytest.raises(ValueError, match="^expected model_version=0123456789ab, got [0-9a-f]{12} of text_encoder"):
        checks.check_stages(settings(model=text_encoder, model_version="0123456789ab"))
    checks.check_stages(settings(model="https://models.example/bert/1", model_version="0123456789ab"))


def test_a_model_without_versions_is_not_watched(text_encoder: pathlib.Path) -> None:
    """Whatever the runner; nothing would ever be found."""
    with pytest.raises(ValueError, match="^expected model as a local directory of numbered versions"):
        checks.check_stages(settings(model=text_encoder, model_poll_seconds=60))
