"""Where artifacts that MLTransform wrote with version 0.1.0 look for SentenceEmbeddings."""

from transforms.integrations.ml_transform import SentenceEmbeddings

__all__ = ["SentenceEmbeddings"]
