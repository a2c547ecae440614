"""The tokenizer of a checkpoint is what transformers and sentence-transformers make of its files."""

import json
import pathlib

import pytest

from tests.conftest import DATA
from tests.transforms.encoder.bert.reference import TEXT, TOKENIZERS, write_tokenizer
from transforms.encoder.bert.kinds import KINDS
from transforms.encoder.bert.tokenizer import tokenizer_of
from transforms.encoder.preprocessor import Preprocessor

pytestmark = pytest.mark.slow

EXPECTED = json.loads((DATA / "sentence_transformers.json").read_text())


@pytest.mark.parametrize("name", TOKENIZERS)
def test_what_the_files_say_together_is_done(tmp_path: pathlib.Path, name: str) -> None:
    """Tokens are those of sentence-transformers, whichever file says it."""
    source = write_tokenizer(tmp_path, name)
    found = tokenizer_of(source, KINDS[TOKENIZERS[name][0]])
    found.write(tmp_path / "preprocessor")
    preprocessor = Preprocessor(str(tmp_path / "preprocessor"))
    (tokens,) = preprocessor.tokenize([TEXT])
    assert [preprocessor.start, *tokens, preprocessor.end] == EXPECTED[name]
    cased, lower = (preprocessor.tokenize([text])[0].tolist() for text in ("A", "a"))
    assert found.cased is (cased != lower)


def test_a_vocabulary_alone_with_settings_of_another_tokenizer_is_refused(tmp_path: pathlib.Path) -> None:
    """BERT's tokenizer as a SavedModel does not keep accents of lower-cased texts."""
    source = write_tokenizer(tmp_path, "class, accents")
    numbers = json.loads((source / "tokenizer.json").read_text())["model"]["vocab"]
    (source / "vocab.txt").write_text("\n".join(sorted(numbers, key=numbers.__getitem__)))
    (source / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="^expected tokenizer.json in .* beside a vocab.txt with .*BertTokenizer and"):
        tokenizer_of(source, KINDS["bert"])
