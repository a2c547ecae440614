"""Text preprocessors, which convert texts to tokens, and tokens to an encoder's inputs."""

import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from transforms.encoder.catalogue import TOKENIZER_FILE
from transforms.encoder.hub import load, resolve
from transforms.encoder.packing import Batch
from transforms.encoder.reasons import reason_of

Array = np.ndarray[Any, Any]


Tokenize = Callable[[Sequence[str]], list[Array]]


class Preprocessor:
    """A TF-Hub text preprocessor, or a tokenizer of Hugging Face.

    Tokenizing runs TF-Hub's own graph, or the package tokenizers on the checkpoint's own tokenizer.json. Rows are made
    in NumPy, with the special ids that it uses.

    Attributes:
        start: the id of the token that begins a sequence.
        end: the id of the token that ends a segment.
        padding: the id of the padding token.

    Raises:
        ValueError: if it cannot be loaded, or is neither of the two.
    """

    def __init__(self, handle: str) -> None:
        path = os.path.join(resolve(handle), TOKENIZER_FILE)
        made = _of_hugging_face(path) if tf.io.gfile.exists(path) else _of_tf_hub(handle)
        self._tokenize, (self.start, self.end, self.padding) = made

    def tokenize(self, texts: Sequence[str]) -> list[Array]:
        """The token ids of each text, without special tokens.

        Raises:
            UnicodeEncodeError: if a text contains a lone surrogate.
        """
        return self._tokenize(texts)

    def arrange(self, rows: Sequence[Sequence[Array]]) -> Batch:
        """The inputs of an encoder for rows of texts, each given as its tokens without the special ones."""
        lengths = [[len(tokens) + 2 for tokens in row] for row in rows]
        shape = len(rows), max(map(sum, lengths))
        ids = np.full(shape, self.padding, np.int32)
        segments, positions = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        segment, steps = 0, np.arange(shape[1], dtype=np.int32)
        for place, row in enumerate(rows):
            begin = 0
            for tokens in row:
                end, segment = begin + len(tokens) + 2, segment + 1
                ids[place, begin], ids[place, end - 1] = self.start, self.end
                ids[place, begin + 1 : end - 1] = tokens
                segments[place, begin:end] = segment
                positions[place, begin:end] = steps[: end - begin]
                begin = end
        return Batch(ids, segments, positions)


def _of_tf_hub(handle: str) -> tuple[Tokenize, tuple[int, ...]]:
    """A function to tokens, from TF-Hub's text preprocessing interface; and the ids of start, end and padding."""
    module = load(handle)
    try:
        split, pack = module.tokenize, module.bert_pack_inputs
        packed = pack([split(tf.constant([""]))], seq_length=tf.constant(4, tf.int32))
        special = tuple(int(i) for i in packed["input_word_ids"][0, :3])
    # A module of another interface, or a damaged graph, raises exceptions of any kind.
    except Exception as error:
        raise ValueError(
            f"expected a preprocessor with tokenize and bert_pack_inputs, got {handle} "
            f"({reason_of(error)}); "
            "pass preprocessor=HANDLE of one with TF-Hub's text preprocessing interface"
        ) from error

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def flat_tokens(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        ragged = split(texts)
        if ragged.shape.rank > 2:
            ragged = ragged.merge_dims(1, -1)
        return ragged.values, ragged.row_splits

    def tokenize(texts: Sequence[str]) -> list[Array]:
        values, splits = flat_tokens(tf.constant([text.encode() for text in texts], tf.string))
        flat, ends = values.numpy(), splits.numpy().tolist()
        return [flat[begin:end] for begin, end in itertools.pairwise(ends)]

    # A function has only weak references to what it calls.
    tokenize.module = module  # type: ignore[attr-defined]
    return tokenize, special


def hugging_face_tokenizer(content: str | bytes, path: str) -> Any:
    """The package's Tokenizer from the content of a tokenizer.json, without truncation and padding.

    Raises:
        ValueError: if it cannot be run, or does not put one token before a text and one behind it; it names the `path`.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(content if isinstance(content, str) else content.decode())
        # Texts are truncated and padded when rows are made of them.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        empty, probe = tokenizer.encode(""), tokenizer.encode("a")
        inner = tokenizer.encode("a", add_special_tokens=False).ids
        if len(empty.ids) != 2 or probe.ids != [empty.ids[0], *inner, empty.ids[1]] or any(probe.type_ids):
            raise ValueError(f"it makes {probe.tokens} of 'a', not one special token before it and one behind it")
    # The package raises nothing more special than Exception.
    except Exception as error:
        raise ValueError(
            f"expected {path} as Hugging Face writes it, could not use it: {reason_of(error)}; "
            "copy or export the model again"
        ) from error
    return tokenizer


def _of_hugging_face(path: str) -> tuple[Tokenize, tuple[int, ...]]:
    """As `_of_tf_hub`, from a tokenizer.json."""
    with tf.io.gfile.GFile(path, "rb") as file:
        tokenizer = hugging_face_tokenizer(file.read(), path)
    special = tokenizer.encode("").ids

    def tokenize(texts: Sequence[str]) -> list[Array]:
        for text in texts:
            # The package would raise TypeError for a lone surrogate.
            text.encode()
        found = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(each.ids, np.int32) for each in found]

    # Padding is masked, so any id does.
    return tokenize, (*special, special[1])
