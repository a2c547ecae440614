"""What the weights of a BERT do not tell of it."""

import dataclasses
import json

from transforms.encoder.hub import saved_string


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """The configuration that cannot be inferred from the weights."""

    heads: int
    activation: str = "gelu"
    epsilon: float = 1e-12
    pooling: str = "pooled_output"
    normalize: bool = False
    document_prompt: str = ""
    query_prompt: str = ""


def parsed(described: bytes) -> BertConfig:
    """The configuration that is saved together with the weights."""
    return BertConfig(**json.loads(described))


def config_at(handle: str) -> BertConfig | None:
    """As `weights.config_of`, of the SavedModel at `handle`, without loading it.

    Raises:
        ValueError: if its weights cannot be read.
    """
    described = saved_string(handle, "described")
    return None if described is None else parsed(described)
