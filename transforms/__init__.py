"""Sentence splitting and embedding: Beam transforms, and the plain Python classes they are built on.

Each name is imported on first use, so importing the sentence splitter does not import Beam, and importing the
transforms does not import TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transforms.adapters import AsEmbeddableItems, AsMessages, AsSentences
    from transforms.dataframe import embed
    from transforms.dead_letters import WithDeadLetters
    from transforms.embedding import EmbedSentences
    from transforms.encoder.catalogue import CATALOGUE, Model, find_model
    from transforms.encoder.text_encoder import TextEncoder
    from transforms.integrations.ml_transform import SentenceEmbeddings
    from transforms.integrations.run_inference import TextEncoderHandler
    from transforms.io.bigquery.write import WriteDeadLettersToBigQuery, WriteRowsToBigQuery
    from transforms.io.pubsub.read import ReadFromSubscription
    from transforms.parsing import ParseMessages
    from transforms.splitter import SentenceSplitter
    from transforms.splitting import SplitSentences
    from transforms.types import DeadLetter, Message, Record, Sentence, SentenceEmbedding

_MODULES = {
    "AsEmbeddableItems": "adapters",
    "AsMessages": "adapters",
    "AsSentences": "adapters",
    "CATALOGUE": "encoder.catalogue",
    "DeadLetter": "types",
    "EmbedSentences": "embedding",
    "Message": "types",
    "Model": "encoder.catalogue",
    "ParseMessages": "parsing",
    "ReadFromSubscription": "io.pubsub.read",
    "Record": "types",
    "Sentence": "types",
    "SentenceEmbedding": "types",
    "SentenceEmbeddings": "integrations.ml_transform",
    "SentenceSplitter": "splitter",
    "SplitSentences": "splitting",
    "TextEncoder": "encoder.text_encoder",
    "TextEncoderHandler": "integrations.run_inference",
    "WithDeadLetters": "dead_letters",
    "WriteDeadLettersToBigQuery": "io.bigquery.write",
    "WriteRowsToBigQuery": "io.bigquery.write",
    "embed": "dataframe",
    "find_model": "encoder.catalogue",
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
    "ReadFromSubscription",
    "Record",
    "Sentence",
    "SentenceEmbedding",
    "SentenceEmbeddings",
    "SentenceSplitter",
    "SplitSentences",
    "TextEncoder",
    "TextEncoderHandler",
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
