"""embed: texts in, a pandas table of sentences and their vectors out, in process. No Beam."""

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from transforms.encoder.catalogue import find_model
from transforms.encoder.cleanup import CLEANUP_MODES, clean
from transforms.encoder.options import EncoderOptions
from transforms.encoder.text_encoder import load_encoder
from transforms.options import sort_out, takes
from transforms.splitter import SentenceSplitter

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]

# As many as EmbedSentences gives to the encoder at once, which orders them by length.
_BATCH = 1024
# Fewer sentences than this are done before a bar would help.
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
    """The sentences of `texts`, or the texts themselves, with their vectors, as the pipeline would give them.

    >>> rows = embed(["Hello there. How are you?", "Fine."])
    >>> rows[["sentence", "begin", "end"]]
           sentence  begin  end
    0  Hello there.      0   12
    0  How are you?     13   25
    1         Fine.      0    5
    >>> rows.embedding.iloc[0].shape
    (384,)

    The model is loaded at its first use in a process and kept.

    Args:
        texts: a string, a list of them, a Series, or a DataFrame with a column of them. Null and blank ones have no
            sentences, and None for the vector of a document.
        model: a catalogue name, a TF-Hub handle, or a directory.
        text_column: the column of a DataFrame that holds the texts.
        output_level: "sentence": a row a sentence, with the columns sentence, begin, end (half-open code-point
            offsets into the text) and embedding. "document": a row a text, with the column embedding.
        document_vector: a document's vector: "whole": of the text as one input, cut where the encoder stops reading.
            "mean": the mean of its sentences' vectors, scaled to length 1 if those are.
        splitter: a SentenceSplitter with options of its own, as in `SentenceSplitter("de")`.
        cleanup: what the encoder reads of a text, a key of CLEANUP_MODES; sentences and offsets stay.
        progress: whether to show a bar; by default on long input.
        encoder_options: EncoderOptions', such as pooling, max_seq_length or precision.

    Returns:
        A DataFrame with the user's own index and columns before the new ones. A list gets the index 0, 1, ...; at the
        document level, texts that are not a DataFrame get the column `text_column`, or the name of the Series.
        A vector is a float32 array [dimension].

    Raises:
        ValueError: if an option has no such value, a column is missing or in the way, or a text is no string.
        ImportError: if pandas or tqdm is not there.
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
        raise ValueError(f"expected no columns {taken} in the DataFrame, for they are made here; rename them")
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
        scale = find_model(model).normalize if options.normalize is None else options.normalize
        return frame.assign(embedding=_column(len(frame), *_means(owners, encoded, scale)))
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
    """The user's own table, and the texts in its order; a null text is ""."""
    import pandas as pd

    if isinstance(texts, pd.DataFrame):
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
    # pandas has three nulls: None, NaN, which is not equal to itself, and NA, whose truth is unknown.
    if value is None or type(value).__name__ == "NAType" or value != value:
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
    """The rows that own vectors, in order, and the mean of each one's."""
    if not owners:
        return np.zeros(0, np.int64), vectors
    rows, starts, counts = np.unique(np.asarray(owners), return_index=True, return_counts=True)
    means = np.add.reduceat(vectors, starts, axis=0) / counts[:, None].astype(np.float32)
    if scale:
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return rows, means


def _column(count: int, rows: Sequence[int] | Array, vectors: Array) -> Array:
    """`count` objects, the vectors at `rows` and None elsewhere."""
    column = np.full(count, None, object)
    for row, vector in zip(rows, vectors, strict=True):
        column[row] = vector
    return column
