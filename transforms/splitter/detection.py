"""Which of the splitter's languages a text is in, by py3langid."""

from __future__ import annotations

import functools
import threading
from typing import Any, Final

from transforms.splitter.languages import LANGUAGES

# ISO 639-2's code for a text in a language that is not known, or in none.
UNDETERMINED: Final = "und"
# Of a longer text, pieces are read, as its beginning may be an address, or in another language.
_PIECES: Final = 4
_PIECE: Final = 100
# The least probability of a language. docs/splitting.md shows how many texts of a length reach it.
_LEAST: Final = 0.6

_lock = threading.Lock()


def detect(text: str) -> str:
    """The code of the text's language, or UNDETERMINED if none is probable."""
    # Loading takes seconds and 100 MB, so threads that begin together must not all do it.
    with _lock:
        identifier = _identifier()
    language, _ = identifier.classify(_sample(text))
    return str(language)


def _sample(text: str) -> str:
    """Pieces of the text at equal distances, the first and the last included; a short text whole."""
    if len(text) <= _PIECES * _PIECE:
        return text
    last = len(text) - _PIECE
    begins = (last * index // (_PIECES - 1) for index in range(_PIECES))
    return "\n".join(text[begin : begin + _PIECE] for begin in begins)


@functools.cache
def _identifier() -> Any:
    # Imported here, because only those who ask for it need it, and it imports NumPy.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=_LEAST)
    identifier.set_languages(LANGUAGES)
    return identifier
