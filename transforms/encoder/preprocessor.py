"""TF-Hub's text preprocessors, which convert texts to tokens, and tokens to an encoder's inputs."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from transforms.encoder.hub import load
from transforms.encoder.packing import Batch
from transforms.encoder.reasons import reason_of

Array = np.ndarray[Any, Any]


class Preprocessor:
    """A TF-Hub text preprocessor.

    Tokenizing runs the preprocessor's own graph. Rows are made in NumPy, with the special ids that it uses.

    Attributes:
        start: the id of the token that begins a sequence.
        end: the id of the token that ends a segment.
        padding: the id of the padding token.

    Raises:
        ValueError: if it cannot be loaded, or lacks TF-Hub's text preprocessing interface.
    """

    def __init__(self, handle: str) -> None:
        self._module = load(handle)
        try:
            tokenize, pack = self._module.tokenize, self._module.bert_pack_inputs
            packed = pack([tokenize(tf.constant([""]))], seq_length=tf.constant(4, tf.int32))
            self.start, self.end, self.padding = (int(i) for i in packed["input_word_ids"][0, :3])
        # A module of another interface, or a damaged graph, raises exceptions of any kind.
        except Exception as error:
            raise ValueError(
                f"expected a preprocessor with tokenize and bert_pack_inputs, got {handle} "
                f"({reason_of(error)}); "
                "pass preprocessor=HANDLE of one with TF-Hub's text preprocessing interface"
            ) from error

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def flat_tokens(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            ragged = tokenize(texts)
            if ragged.shape.rank > 2:
                ragged = ragged.merge_dims(1, -1)
            return ragged.values, ragged.row_splits

        self._tokenize = flat_tokens

    def tokenize(self, texts: Sequence[str]) -> list[Array]:
        """The token ids of each text, without special tokens.

        Raises:
            UnicodeEncodeError: if a text contains a lone surrogate.
        """
        values, splits = self._tokenize(tf.constant([text.encode() for text in texts], tf.string))
        flat, ends = values.numpy(), splits.numpy().tolist()
        return [flat[begin:end] for begin, end in itertools.pairwise(ends)]

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
