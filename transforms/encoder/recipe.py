"""What decides a text's vector beside the bytes of a model's files: how the encoder's outputs become one vector."""

from typing import NamedTuple

from transforms.encoder import hub
from transforms.encoder.bert.config import config_at
from transforms.encoder.catalogue import Model
from transforms.encoder.options import DEFAULT_MAX_SEQ_LENGTH, EncoderOptions


class Recipe(NamedTuple):
    """How vectors are made of the outputs of a model.

    Attributes:
        pooling: how a vector is computed from the encoder's outputs, one of POOLINGS.
        normalize: whether vectors are scaled to L2 norm 1.
        beside: what of this, and of the length that is read, the model's files do not tell; "" if they tell all of it.
    """

    pooling: str
    normalize: bool
    beside: str


def recipe_of(model: Model, options: EncoderOptions) -> Recipe:
    """The recipe for `model`: what `options` ask for, or else its card or the catalogue, or else the encoder itself.

    Raises:
        ValueError: if none of these tells the pooling, or the encoder cannot be read.
    """
    if not model.preprocessor:
        normalize = model.normalize if options.normalize is None else options.normalize
        return Recipe("model_default", normalize, "" if not normalize else "normalize=True")
    own = config_at(model.encoder)
    normalized = model.normalize if model.pooling or own is None else own.normalize
    pooling = options.pooling or model.pooling or (own.pooling if own else _offered(model))
    normalize = normalized if options.normalize is None else options.normalize
    if own and pooling == "model_default":
        pooling, normalize = own.pooling, normalize or own.normalize
    # TF-Hub's encoders have said nothing of pooling when most rows were written, and pooled_output is their own.
    told = (own.pooling, own.normalize) if own else ("pooled_output", False)
    lines = [f"pooling={pooling} normalize={normalize}"] if (pooling, normalize) != told else []
    if options.max_seq_length != DEFAULT_MAX_SEQ_LENGTH:
        lines.append(f"max_seq_length={options.max_seq_length}")
    return Recipe(pooling, normalize, "\n".join(lines))


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
