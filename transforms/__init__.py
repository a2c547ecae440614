"""Sentence splitting and embedding: Beam transforms, and the plain classes under them.

The plain classes need no Beam and are loaded on first use, so that importing one does not import the other.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transforms.adapters import AsEmbeddableItems, AsMessages, AsSentences
    from transforms.bigquery import WriteDeadLettersToBigQuery, WriteRowsToBigQuery
    from transforms.dead_letters import WithDeadLetters
    from transforms.embedding import EmbedSentences
    from transforms.encoder import TextEncoder
    from transforms.ml_transform import SentenceEmbeddings
    from transforms.models import CATALOGUE, Model, find_model
    from transforms.parsing import ParseMessages
    from transforms.splitter import SentenceSplitter
    from transforms.splitting import SplitSentences
    from transforms.table import embed
    from transforms.types import DeadLetter, Message, Record, Sentence, SentenceEmbedding

_MODULES = {
    "AsEmbeddableItems": "adapters",
    "AsMessages": "adapters",
    "AsSentences": "adapters",
    "CATALOGUE": "models",
    "DeadLetter": "types",
    "EmbedSentences": "embedding",
    "Message": "types",
    "Model": "models",
    "ParseMessages": "parsing",
    "Record": "types",
    "Sentence": "types",
    "SentenceEmbedding": "types",
    "SentenceEmbeddings": "ml_transform",
    "SentenceSplitter": "splitter",
    "SplitSentences": "splitting",
    "TextEncoder": "encoder",
    "WithDeadLetters": "dead_letters",
    "WriteDeadLettersToBigQuery": "bigquery",
    "WriteRowsToBigQuery": "bigquery",
    "embed": "table",
    "find_model": "models",
}

__all__ = [
    "CATALOGUE",
    "AsEmbeddableItems",
    "AsMessages",
    "AsSentences",
    "DeadLetter",
    "EmbedSentences",
    "Message",
    "Model",
    "ParseMessages",
    "Record",
    "Sentence",
    "SentenceEmbedding",
    "SentenceEmbeddings",
    "SentenceSplitter",
    "SplitSentences",
    "TextEncoder",
    "WithDeadLetters",
    "WriteDeadLettersToBigQuery",
    "WriteRowsToBigQuery",
    "embed",
    "find_model",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
