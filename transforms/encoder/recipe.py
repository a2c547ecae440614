"""What decides a text's vector beside the bytes of a model's files: what is read before it, and what is made of it."""

from typing import Any, NamedTuple

import numpy as np

from transforms.encoder import hub
from transforms.encoder.bert.config import config_at
from transforms.encoder.catalogue import Model
from transforms.encoder.options import DEFAULT_MAX_SEQ_LENGTH, EncoderOptions, prompt_of

Array = np.ndarray[Any, Any]


class Recipe(NamedTuple):
    """How vectors are made of texts by a model.

    Attributes:
        pooling: how a vector is computed from the encoder's outputs, one of POOLINGS.
        normalize: whether vectors are scaled to L2 norm 1.
        beside: what of this, and of the length that is read, the model's files do not tell; "" if they tell all of it.
        document_prompt: what the encoder reads before a text that is to be found.
        query_prompt: what it reads before what texts are searched by.
        truncate_dim: how many numbers of a vector are kept; 0 for all.
    """

    pooling: str
    normalize: bool
    beside: str
    document_prompt: str = ""
    query_prompt: str = ""
    truncate_dim: int = 0


def recipe_of(model: Model, options: EncoderOptions) -> Recipe:
    """The recipe for `model`: what `options` ask for, or else its card or the catalogue, or else the encoder itself.

    Raises:
        ValueError: if none of these tells the pooling, the encoder cannot be read, or a prompt has no such name.
    """
    own = config_at(model.encoder) if model.preprocessor else None
    described = model if model.pooling or own is None else own
    normalize = described.normalize if options.normalize is None else options.normalize
    if model.preprocessor:
        pooling = options.pooling or model.pooling or (own.pooling if own else _offered(model))
        if own and pooling == "model_default":
            pooling, normalize = own.pooling, normalize or own.normalize
        # TF-Hub's encoders have said nothing of pooling when most rows were written, and pooled_output is their own.
        told = (own.pooling, own.normalize) if own else ("pooled_output", False)
        lines = [f"pooling={pooling} normalize={normalize}"] if (pooling, normalize) != told else []
        if options.max_seq_length != DEFAULT_MAX_SEQ_LENGTH:
            lines.append(f"max_seq_length={options.max_seq_length}")
    else:
        pooling, lines = "model_default", ["normalize=True"] if normalize else []
    prompts = prompt_of(options.prompt, model, described.document_prompt), described.query_prompt
    if prompts != ((own.document_prompt, own.query_prompt) if own else ("", "")):
        lines.append(f"prompt={prompts[0]!r} query_prompt={prompts[1]!r}")
    truncate_dim = options.truncate_dim if options.truncate_dim != model.dimension else 0
    if truncate_dim:
        lines.append(f"truncate_dim={truncate_dim}")
    return Recipe(pooling, normalize, "\n".join(lines), *prompts, truncate_dim)


def scaled(vectors: Array) -> Array:
    """`vectors` [n, dimension] with L2 norm 1; a zero vector stays zero."""
    found: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return found


def version_of(model: Model, recipe: Recipe) -> str:
    """A digest of the files of `model` and of what they do not tell of `recipe`, as 12 hexadecimal digits.

    Raises:
        ValueError: if a file cannot be read.
    """
    return hub.digest(filter(None, (model.encoder, model.preprocessor)), recipe.beside)


def _offered(model: Model) -> str:
    """The pooling of an encoder that nothing describes, from the outputs that it offers."""
    outputs = hub.outputs_of(model.encoder)
    for output, pooling in (("default", "model_default"), ("pooled_output", "pooled_output")):
        if output in outputs:
            return pooling
    raise ValueError(
        f"expected pooling=mean or cls for {model.name}, which has no model.json that tells it, and offers "
        f"{sorted(outputs) or 'no named outputs'}; pass the pooling that it was trained with"
    )
