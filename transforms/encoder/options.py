"""EncoderOptions: which encoder to use and how to run it; a process caches loaded encoders by these options."""

import dataclasses
import importlib.util
import re
from typing import Any

from transforms.encoder.catalogue import DEFAULT_MODEL, NO_PROMPT, POOLINGS, Model, check_names

ENGINES = ("tensorflow", "openvino", "auto")
PRECISIONS = ("float32", "bfloat16", "auto")
DEFAULT_MAX_SEQ_LENGTH = 128
VERSION_REGEX = "[0-9a-f]{12}"


@dataclasses.dataclass(frozen=True)
class EncoderOptions:
    """The options of a text encoder; TextEncoder and every transform that embeds take them as keyword arguments.

    Attributes:
        model: a catalogue name, a TF-Hub handle, or a directory.
        preprocessor: handle or directory of the preprocessor, if it is not the model's own.
        pooling: how a sentence's vector is computed from the encoder's outputs; by default the pooling of the model.
        normalize: whether to scale vectors to L2 norm 1; by default as the model prescribes.
        max_seq_length: maximum number of tokens read of a sentence, its prompt and special tokens included; longer
            sentences are truncated.
        prompt: what the encoder reads before each sentence, as the name of one of the model's prompts, as a text, or
            none; by default, the model's prompt for documents.
        truncate_dim: how many numbers of each vector to keep, one of the sizes that the model was trained for
            (Matryoshka); 0 for all.
        token_budget: maximum number of tokens, padding included, in one run of the encoder; 0 for a default that
            suits the device.
        engine: the engine that runs the encoder; auto chooses the fastest that agrees with TensorFlow in float32.
        precision: the precision of matrix products; auto chooses the fastest that agrees with float32.
        model_version: the only version of the model to load, as rows name it that were made with the same options and
            without cleanup; by default, any version.
        allow_http: whether a handle may begin with http://, over which anyone on the way can replace the model.

    Raises:
        ValueError: if an option has an invalid value; one line names the option, what was expected and what was given.
    """

    model: str = DEFAULT_MODEL
    _: dataclasses.KW_ONLY
    preprocessor: str = ""
    pooling: str = dataclasses.field(default="", metadata={"choices": POOLINGS})
    normalize: bool | None = None
    max_seq_length: int = dataclasses.field(default=DEFAULT_MAX_SEQ_LENGTH, metadata={"minimum": 3})
    prompt: str = ""
    truncate_dim: int = dataclasses.field(default=0, metadata={"minimum": 0})
    token_budget: int = dataclasses.field(default=0, metadata={"minimum": 0})
    engine: str = dataclasses.field(default=ENGINES[0], metadata={"choices": ENGINES})
    precision: str = dataclasses.field(default=PRECISIONS[0], metadata={"choices": PRECISIONS})
    model_version: str = ""
    allow_http: bool = False

    def __post_init__(self) -> None:
        """Checks the options."""
        check_fields(self)
        check_names(self.model, self.preprocessor, self.allow_http)
        if self.model_version and not re.fullmatch(VERSION_REGEX, self.model_version):
            raise ValueError(
                f"expected model_version as 12 hexadecimal digits, as rows carry it, got {self.model_version!r}"
            )
        if self.engine == "openvino" and not importlib.util.find_spec("openvino"):
            raise ValueError(
                "expected the package openvino for engine=openvino, it is not installed; "
                "pip install openvino, or use engine=auto"
            )


def check_fields(options: Any) -> None:
    """Checks each field of a dataclass against its type, and against the "choices" and "minimum" of its metadata.

    Raises:
        ValueError: if a field is invalid; one line names the field, what was expected and what was given.
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
    """Checks that the description of `model` allows the pooling, the lengths and the prompt in `options`.

    Raises:
        ValueError: if it does not; one line names the option, what was expected and what was given.
    """
    if options.pooling and options.pooling not in model.poolings:
        raise ValueError(
            f"expected pooling={' or '.join(model.poolings)}, which {model.name} has, got {options.pooling!r}"
        )
    check_max_seq_length(options.max_seq_length, model.max_seq_length, model.name)
    prompt_of(options.prompt, model, "")
    if options.truncate_dim not in (0, model.dimension, *model.dimensions):
        sizes = " or ".join(map(str, model.dimensions))
        raise ValueError(
            f"expected truncate_dim as {sizes}, the sizes that {model.name} was trained for, got {options.truncate_dim}"
            if sizes
            else f"expected no truncate_dim for {model.name}, which names no sizes that its vectors may be cut to, got "
            f"{options.truncate_dim}; if it was trained for some, put them into config.json of its checkpoint as "
            "matryoshka_dimensions, and export it again"
        )


def prompt_of(given: str, model: Model, default: str, what: str = "prompt") -> str:
    """The text that `given` stands for: one of the prompts of `model` by its name, none, or itself; "" for `default`.

    Raises:
        ValueError: if it is a word that names no prompt, called `what`.
    """
    if given in model.prompts:
        return model.prompts[given]
    if given in ("", NO_PROMPT):
        return default if not given else ""
    if re.fullmatch(r"[\w-]+", given):
        names = ", ".join(sorted((*model.prompts, NO_PROMPT)))
        raise ValueError(f"expected {what} as {names}, or a text such as 'query: ', got {given!r} for {model.name}")
    return given


def check_version(version: str, name: str, options: EncoderOptions) -> None:
    """Checks that `version`, that of the model called `name`, is the one in `options`, if they name one.

    Raises:
        ValueError: if it is another; one line names both.
    """
    if options.model_version not in ("", version):
        raise ValueError(
            f"expected model_version={options.model_version}, got {version} of {name}; restore the files of that "
            "version, and its pooling, normalize, max_seq_length, prompt and truncate_dim, or pass the one that you "
            "trust"
        )


def check_max_seq_length(max_seq_length: int, limit: int, name: str) -> None:
    """Checks that `max_seq_length` is at most `limit`, that of the model called `name`; 0 means that it has no limit.

    Raises:
        ValueError: if it is larger; one line names the option, what was expected and what was given.
    """
    if limit and max_seq_length > limit:
        raise ValueError(f"expected max_seq_length up to {limit}, the most {name} reads, got {max_seq_length}")
