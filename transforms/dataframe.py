"""embed: converts texts to a pandas DataFrame of sentences and their vectors, in this process and without Beam."""

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from transforms.encoder.cleanup import CLEANUP_MODES, clean
from transforms.encoder.options import EncoderOptions
from transforms.encoder.recipe import scaled
from transforms.encoder.text_encoder import load_encoder
from transforms.options import sort_out, takes
from transforms.splitter import SentenceSplitter
from transforms.values import is_null

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]

# The number of texts passed to the encoder at once. The encoder sorts them by length; the bar advances once per batch.
_BATCH = 1024
# Shorter inputs finish before a progress bar would be of use.
_LONG_INPUT = 2 * _BATCH


@takes(EncoderOptions)
def embed(
    texts: "str | Sequence[str | None] | pd.Series[Any] | pd.DataFrame",
    model: str = "minilm",
    *,
    text_column: str = "text",
    output_level: Literal["sentence", "document"] = "sentence",
    document_vector: Literal["whole", "mean"] = "whole",
    splitter: SentenceSplitter | None = None,
    cleanup: str = "disabled",
    progress: bool | None = None,
    **encoder_options: Any,
) -> "pd.DataFrame":
    """Embeds the sentences of `texts`, or whole texts, and returns a DataFrame with their vectors.

    Sentences, offsets and vectors are those that SplitSentences and EmbedSentences give with the same options.

    >>> rows = embed(["Hello there. How are you?", "Fine."])
    >>> rows[["sentence", "begin", "end"]]
           sentence  begin  end
    0  Hello there.      0   12
    0  How are you?     13   25
    1         Fine.      0    5
    >>> rows.embedding.iloc[0].shape
    (384,)

    The model is loaded on first use and kept for later calls in the same process.

    Args:
        texts: a string, a list or Series of strings, or a DataFrame with a column of strings. Null and blank texts
            have no sentences; at the document level their vector is None.
        model: a catalogue name, a TF-Hub handle, or a directory.
        text_column: the column of a DataFrame that holds the texts.
        output_level: "sentence" gives one row per sentence, with the columns sentence, begin, end (half-open
            code-point offsets into the text) and embedding. "document" gives one row per text, with the column
            embedding.
        document_vector: how a document's vector is computed. "whole" encodes the text as a single input, truncated at
            max_seq_length. "mean" averages the vectors of its sentences, and scales the mean to L2 norm 1 if the
            sentence vectors are normalized.
        splitter: the SentenceSplitter to use, as in `SentenceSplitter("de")`; by default one for English.
        cleanup: how a text is cleaned up for the encoder, a key of CLEANUP_MODES; the sentences and offsets in the
            result are those of the original text.
        progress: whether to show a progress bar; by default only for long inputs.
        encoder_options: other fields of EncoderOptions, such as pooling, max_seq_length or precision.

    Returns:
        A DataFrame with the index and columns of the input, followed by the new columns. A list gets the index
        0, 1, ...; at the document level, the texts of a list or Series are kept in a column named after the Series,
        or `text_column` if it has no name. Each vector is a float32 array [dimension].

    Raises:
        ValueError: if an option has an invalid value, a column is missing or has the name of a new one, or a text is
            not a string.
        ImportError: if pandas or tqdm is not installed.
    """
    _need("pandas", "tqdm")
    _check("output_level", output_level, ("sentence", "document"))
    _check("document_vector", document_vector, ("whole", "mean"))
    _check("cleanup", cleanup, tuple(CLEANUP_MODES))
    options: EncoderOptions
    (options,) = sort_out({"model": model, **encoder_options}, EncoderOptions)
    frame, contents = _frame(texts, text_column, output_level == "document")
    made = ["sentence", "begin", "end", "embedding"] if output_level == "sentence" else ["embedding"]
    if taken := [column for column in made if column in frame.columns]:
        raise ValueError(f"expected no columns {taken} in the DataFrame, because embed adds them; rename yours")
    encoder = load_encoder(options)

    def vectors(parts: list[str]) -> Array:
        found = np.zeros((len(parts), encoder.dimension), np.float32)
        for rows in _batches(len(parts), progress):
            found[rows] = encoder.encode([clean(part, cleanup) for part in parts[rows]])
        return found

    if output_level == "document" and document_vector == "whole":
        present = [row for row, text in enumerate(contents) if text.strip()]
        return frame.assign(embedding=_column(len(frame), present, vectors([contents[row] for row in present])))
    split = splitter or SentenceSplitter()
    spans = [(row, *span) for row, text in enumerate(contents) for span in split.spans(text)]
    sentences = [contents[row][begin:end] for row, begin, end in spans]
    encoded = vectors(sentences)
    owners = [row for row, _, _ in spans]
    if output_level == "document":
        return frame.assign(embedding=_column(len(frame), *_means(owners, encoded, encoder.normalize)))
    return frame.iloc[owners].assign(
        sentence=sentences,
        begin=np.array([begin for _, begin, _ in spans], np.int64),
        end=np.array([end for _, _, end in spans], np.int64),
        embedding=_column(len(sentences), range(len(sentences)), encoded),
    )


def _need(*packages: str) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ImportError(
            f"embed needs {' and '.join(missing)}; pip install {' '.join(missing)}, or this package with [embed]"
        )


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"expected {name} to be one of {', '.join(allowed)}, got {value!r}")


def _frame(texts: Any, text_column: str, keep_texts: bool) -> "tuple[pd.DataFrame, list[str]]":
    """The DataFrame to add columns to, and the texts in its order; a null text becomes ""."""
    import pandas as pd

    if isinstance(texts, pd.DataFrame):
        if texts.columns.nlevels > 1:
            raise ValueError(
                f"expected columns with one name each, got a MultiIndex of {texts.columns.nlevels} levels; flatten it, "
                "as in frame.columns = ['_'.join(map(str, names)) for names in frame.columns]"
            )
        if (count := list(texts.columns).count(text_column)) > 1:
            raise ValueError(f"expected one column {text_column!r}, got {count}; rename the others")
        if text_column not in texts.columns:
            raise ValueError(
                f"expected the column {text_column!r}, got {list(texts.columns)}; pass text_column=, as in "
                "embed(frame, text_column='body')"
            )
        frame, series = texts, texts[text_column]
    else:
        series = texts if isinstance(texts, pd.Series) else pd.Series([texts] if isinstance(texts, str) else texts)
        name = text_column if series.name is None else series.name
        frame = series.to_frame(name) if keep_texts else pd.DataFrame(index=series.index)
    return frame, [_text(value, index) for index, value in zip(series.index, series.astype(object), strict=True)]


def _text(value: Any, index: Any) -> str:
    if isinstance(value, str):
        return value
    if is_null(value):
        return ""
    raise ValueError(f"expected text, got {type(value).__name__} at the index {index!r}; convert it with str()")


def _batches(count: int, progress: bool | None) -> Iterator[slice]:
    from tqdm.std import tqdm

    shown = count >= _LONG_INPUT if progress is None else progress
    with tqdm(total=count, unit=" sentences", disable=not shown, dynamic_ncols=True) as bar:
        for start in range(0, count, _BATCH):
            yield slice(start, start + _BATCH)
            bar.update(min(_BATCH, count - start))


def _means(owners: Sequence[int], vectors: Array, scale: bool) -> tuple[Array, Array]:
    """The distinct `owners` in ascending order, int64 [n], and the mean vector of each, float32 [n, dimension]."""
    if not owners:
        return np.zeros(0, np.int64), vectors
    rows, starts, counts = np.unique(np.asarray(owners), return_index=True, return_counts=True)
    means = np.add.reduceat(vectors, starts, axis=0) / counts[:, None].astype(np.float32)
    return rows, scaled(means) if scale else means


def _column(count: int, rows: Sequence[int] | Array, vectors: Array) -> Array:
    """An object array [count] with the vectors at `rows` and None elsewhere."""
    column = np.full(count, None, object)
    for row, vector in zip(rows, vectors, strict=True):
        column[row] = vector
    return column
