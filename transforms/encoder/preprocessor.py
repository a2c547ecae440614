"""TF-Hub's text preprocessors, which convert texts to tokens, and tokens to an encoder's inputs."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from transforms.encoder.hub import load

Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class Tokens:
    """The token ids of a batch of texts, concatenated: those of text i are `values[splits[i]:splits[i + 1]]`."""

    values: Array
    splits: Array


class Preprocessor:
    """A TF-Hub text preprocessor.

    Tokenizing runs the preprocessor's own graph. Packing is done in NumPy, with the special ids that it uses.

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
                f"({str(error).strip().splitlines()[0]}); "
                "pass preprocessor=HANDLE of one with TF-Hub's text preprocessing interface"
            ) from error

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def flat_tokens(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            ragged = tokenize(texts)
            if ragged.shape.rank > 2:
                ragged = ragged.merge_dims(1, -1)
            return ragged.values, ragged.row_splits

        self._tokenize = flat_tokens

    def tokenize(self, texts: list[str]) -> Tokens:
        """The tokens of `texts`, without special tokens."""
        values, splits = self._tokenize(tf.constant([text.encode() for text in texts], tf.string))
        return Tokens(values.numpy(), splits.numpy())

    def pack(self, tokens: Tokens, rows: Array, max_seq_length: int) -> tuple[Array, Array, Array]:
        """Token ids, mask and type ids of `rows`, each int32 [len(rows), length], padded to the longest of them.

        A row that is longer than `max_seq_length`, its two special tokens included, is truncated.
        """
        counts = np.minimum(tokens.splits[rows + 1] - tokens.splits[rows], max_seq_length - 2)
        length = int(counts.max()) + 2
        ids = np.full((len(rows), length), self.padding, np.int32)
        ids[:, 0] = self.start
        within = np.arange(length - 2) < counts[:, None]
        positions = tokens.splits[rows][:, None] + np.arange(length - 2)
        ids[:, 1:-1][within] = tokens.values[positions[within]]
        ids[np.arange(len(rows)), counts + 1] = self.end
        mask = (np.arange(length) < (counts + 2)[:, None]).astype(np.int32)
        return ids, mask, np.zeros_like(ids)
