import subprocess
import sys

import jsonpickle
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


@pytest.mark.parametrize("name", ["transforms.SentenceEmbeddings", "transforms.ml_transform.SentenceEmbeddings"])
def test_the_artifacts_of_mltransform_are_read_again(name: str) -> None:
    """Those written now name the public module, which never moves; version 0.1.0 wrote the other name."""
    written = jsonpickle.encode(transforms.SentenceEmbeddings("minilm", columns=["text"], pooling="cls"), keys=True)
    assert '"transforms.SentenceEmbeddings"' in written
    read = jsonpickle.decode(written.replace("transforms.SentenceEmbeddings", name), keys=True)
    assert isinstance(read, transforms.SentenceEmbeddings)
    assert (read.model, read.encoder_options) == ("minilm", {"pooling": "cls"})
