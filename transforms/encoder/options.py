"""EncoderOptions: which encoder, and how it is run. The key under which a process keeps a loaded encoder."""

import dataclasses
import importlib.util
from typing import Any

from transforms.encoder.catalogue import DEFAULT_MODEL, POOLINGS, Model

ENGINES = ("tensorflow", "openvino", "auto")
PRECISIONS = ("float32", "bfloat16", "auto")
DEFAULT_MAX_SEQ_LENGTH = 128


@dataclasses.dataclass(frozen=True)
class EncoderOptions:
    """The options of a text encoder; TextEncoder and every transform that embeds take them as keyword arguments.

    Attributes:
        model: a catalogue name, a TF-Hub handle, or a directory.
        preprocessor: handle or directory of the preprocessor, if it is not the model's own.
        pooling: how a sentence's vector is made from the encoder's outputs; by default as the model asks.
        normalize: whether to scale vectors to L2 norm 1; by default as the model asks.
        max_seq_length: the most tokens read of a sentence, special tokens included; longer ones are truncated.
        token_budget: the most tokens, padding included, in one run of the encoder; 0 for what its device likes.
        engine: what runs the encoder; auto takes the fastest that agrees with TensorFlow in float32.
        precision: what matrices are multiplied in; auto takes the fastest that agrees with float32.

    Raises:
        ValueError: if an option has no such value: one line that names it, what was expected and what was given.
    """

    model: str = DEFAULT_MODEL
    _: dataclasses.KW_ONLY
    preprocessor: str = ""
    pooling: str = dataclasses.field(default="", metadata={"choices": POOLINGS})
    normalize: bool | None = None
    max_seq_length: int = dataclasses.field(default=DEFAULT_MAX_SEQ_LENGTH, metadata={"minimum": 3})
    token_budget: int = dataclasses.field(default=0, metadata={"minimum": 0})
    engine: str = dataclasses.field(default=ENGINES[0], metadata={"choices": ENGINES})
    precision: str = dataclasses.field(default=PRECISIONS[0], metadata={"choices": PRECISIONS})

    def __post_init__(self) -> None:
        """Refuse what no encoder could do."""
        check_fields(self)
        if self.engine == "openvino" and not importlib.util.find_spec("openvino"):
            raise ValueError(
                "expected the package openvino for engine=openvino, it is not installed; "
                "pip install 'beam-sentence-embeddings[openvino]', or use engine=auto"
            )


def check_fields(options: Any) -> None:
    """Compare each field of a dataclass with its type, and with the "choices" and "minimum" of its metadata.

    Raises:
        ValueError: one line that names the field, what was expected and what was given.
    """
    for field in dataclasses.fields(options):
        value, choices, minimum = (
            getattr(options, field.name),
            field.metadata.get("choices"),
            field.metadata.get("minimum"),
        )
        kind = getattr(field.type, "__name__", field.type)
        if not isinstance(value, field.type):  # type: ignore[arg-type]
            raise ValueError(f"expected {field.name} as {kind}, got {value!r}")
        if choices and value not in (field.default, *choices):
            raise ValueError(f"expected {field.name} to be one of {', '.join(choices)}, got {value!r}")
        if minimum is not None and value is not None and value < minimum:
            raise ValueError(f"expected {field.name} to be at least {minimum}, got {value}")


def check_model(model: Model, options: EncoderOptions) -> None:
    """Refuse what `model` cannot do, as far as its description tells.

    Raises:
        ValueError: one line that names the option, what was expected and what was given.
    """
    if options.pooling and options.pooling not in model.poolings:
        raise ValueError(
            f"expected pooling={' or '.join(model.poolings)}, which {model.name} has, got {options.pooling!r}"
        )
    check_max_seq_length(options.max_seq_length, model.max_seq_length, model.name)


def check_max_seq_length(max_seq_length: int, limit: int, name: str) -> None:
    """Refuse a length past the model's; a `limit` of 0 is no limit.

    Raises:
        ValueError: one line that names the option, what was expected and what was given.
    """
    if limit and max_seq_length > limit:
        raise ValueError(f"expected max_seq_length up to {limit}, the most {name} reads, got {max_seq_length}")
