import subprocess
import sys

import pytest

import transforms


@pytest.mark.parametrize("name", transforms.__all__)
def test_every_public_name_can_be_imported_and_is_described(name: str) -> None:
    """What __init__ lists is there, with a docstring."""
    found = getattr(transforms, name)
    assert name == "CATALOGUE" or found.__doc__


@pytest.mark.subprocess
def test_the_splitter_needs_no_beam_and_the_transforms_no_tensorflow() -> None:
    """Heavy libraries are imported where they are used."""
    code = (
        "import sys; from transforms import SentenceSplitter; assert 'apache_beam' not in sys.modules;"
        "from transforms import EmbedSentences; assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
