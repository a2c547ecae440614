"""The program, as a fixture."""

import pathlib

import pytest

from tests.pipeline.program import Program


@pytest.fixture
def run(tmp_path: pathlib.Path, text_encoder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Program:
    """The program in an empty folder."""
    return Program(tmp_path, text_encoder, capsys)
