"""The module from which MLTransform artifacts written with version 0.1.0 import SentenceEmbeddings."""

from transforms.integrations.ml_transform import SentenceEmbeddings

__all__ = ["SentenceEmbeddings"]
