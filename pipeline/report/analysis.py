"""What a report computes from vectors: a map, clusters, near-duplicates, histograms."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

_COMPONENTS = 50
# With fewer points, t-SNE has no neighborhoods to preserve.
_FEWEST_FOR_TSNE = 100
_BLOCK = 2048
_WORD = re.compile(r"\S+")
_ADDRESS = re.compile(r"://|www\.|@|.\.(?:com|net|org|html?)\b")


def _without_addresses(word: re.Match[str]) -> str:
    return " " if _ADDRESS.search(word[0]) else word[0]


def reduced(vectors: Array) -> Array:
    """The principal components of `vectors`, at most 50, float32 [rows, components]."""
    if len(vectors) < 2:
        return np.zeros((len(vectors), 2), np.float32)
    from sklearn.decomposition import PCA

    components = min(_COMPONENTS, *vectors.shape)
    found: Array = PCA(components, random_state=0).fit_transform(vectors)
    return np.pad(found, ((0, 0), (0, max(0, 2 - components)))).astype(np.float32)


def project(components: Array, method: str) -> Array:
    """A map of `components`, float32 [rows, 2] within -1 and 1. t-SNE keeps neighbors together."""
    places = components[:, :2]
    if method == "tsne" and len(components) >= _FEWEST_FOR_TSNE:
        from openTSNE import TSNE

        perplexity = min(30, len(components) // 4)
        places = np.asarray(TSNE(perplexity=perplexity, n_jobs=-1, random_state=0).fit(components))
    low, high = places.min(axis=0), places.max(axis=0)
    # Both axes have one scale, so that distances on the map can be compared in any direction.
    found: Array = (places - (low + high) / 2) / max(float((high - low).max()) / 2, 1e-12)
    return found.astype(np.float32)


class Cluster(NamedTuple):
    """Sentences of similar meaning.

    Attributes:
        label: words that are frequent in it and rare in the others.
        size: how many sentences it has.
        central: the rows nearest to its center, each content once.
    """

    label: str
    size: int
    central: list[int]


def clusters(vectors: Array, components: Array, contents: Sequence[str], count: int = 0) -> tuple[Array, list[Cluster]]:
    """Each row's cluster and the clusters, largest first; with `count` 0, the number of rows decides."""
    from sklearn.cluster import KMeans

    chosen = min(count or int(np.clip(round(np.sqrt(len(vectors) / 15)), 2, 18)), len(vectors))
    raw = KMeans(chosen, n_init=3, random_state=0).fit_predict(components)
    # Equal points can make fewer clusters than asked for.
    order = [int(i) for i in np.argsort(-np.bincount(raw), kind="stable") if (raw == i).any()]
    codes = np.argsort(order)[np.searchsorted(np.sort(order), raw)]
    found = []
    for code, label in enumerate(_labels(codes, contents)):
        rows = np.flatnonzero(codes == code)
        nearness = vectors[rows] @ vectors[rows].mean(axis=0)
        central = {contents[row]: int(row) for row in reversed(rows[np.argsort(-nearness, kind="stable")][:50])}
        found.append(Cluster(label, len(rows), list(reversed(central.values()))[:5]))
    return codes, found


def _labels(codes: Array, contents: Sequence[str]) -> list[str]:
    """Three words of each cluster by class-based TF-IDF (Grootendorst 2022, arXiv:2203.05794)."""
    from sklearn.feature_extraction.text import CountVectorizer

    count = int(codes.max()) + 1
    # A word repeated in one sentence, and a repeated sentence, say little about the others; addresses say nothing.
    _, first = np.unique(np.asarray(contents, object).astype(str), return_index=True)
    texts = [_WORD.sub(_without_addresses, contents[row]) for row in first]
    counter = CountVectorizer(
        stop_words="english", token_pattern=r"(?u)\b[^\W\d_]{3,}\b", max_features=20_000, binary=True
    )
    try:
        words = counter.fit_transform(texts)
    except ValueError:  # There is no such word.
        return [f"cluster {code + 1}" for code in range(count)]
    of = codes[first]
    sums = np.stack([np.asarray(words[of == code].sum(axis=0)).ravel() for code in range(count)]).astype(float)
    # A word must occur at least twice in its cluster; otherwise chance would choose the label.
    weights = sums * (sums > 1) * np.log1p(sums.sum() / count / np.maximum(sums.sum(axis=0), 1))
    names = counter.get_feature_names_out()
    best = [[str(names[i]) for i in np.argsort(-row, kind="stable")[:3] if row[i] > 0] for row in weights]
    return [" · ".join(found) or f"cluster {code + 1}" for code, found in enumerate(best)]


class Duplicates(NamedTuple):
    """Rows that say nearly the same; `least` is the lowest cosine that joined one of them."""

    rows: list[int]
    least: float


def near_duplicates(vectors: Array, contents: Sequence[str], threshold: float) -> list[Duplicates]:
    """Groups of rows that are nearly alike: each joins the nearest row before it at a cosine of `threshold` or more.

    Equal contents count once. `vectors` have length 1.
    """
    _, first = np.unique(np.asarray(contents, object).astype(str), return_index=True)
    first = np.sort(first)
    distinct = vectors[first]
    parent = list(range(len(first)))
    cosine = np.ones(len(first))

    def root(row: int) -> int:
        while parent[row] != row:
            row = parent[row]
        return row

    for start in range(0, len(distinct), _BLOCK):
        stop = min(start + _BLOCK, len(distinct))
        scores = distinct[start:stop] @ distinct[:stop].T
        scores[:, start:][np.triu_indices(stop - start)] = -1
        nearest = scores.argmax(axis=1)
        for row in np.flatnonzero(scores.max(axis=1) >= threshold).tolist():
            parent[start + row] = root(int(nearest[row]))
            cosine[start + row] = scores[row, nearest[row]]
    groups: dict[int, list[int]] = {}
    for row in range(len(first)):
        groups.setdefault(root(row), []).append(row)
    found = [
        Duplicates([int(first[row]) for row in rows], float(min(cosine[row] for row in rows)))
        for rows in groups.values()
        if len(rows) > 1
    ]
    return sorted(found, key=lambda group: (-len(group.rows), -group.least))


class Histogram(NamedTuple):
    """How many values are in each bin: counts[i] of them from edges[i] up to edges[i + 1]."""

    edges: list[float]
    counts: list[int]


def histogram(values: Array, bins: int = 30) -> Histogram:
    """A histogram of whole numbers, in bins of whole width; values past the 99.5th percentile are in the last bin."""
    low, high = float(values.min()), float(np.percentile(values, 99.5)) + 1
    width = max(1, int(np.ceil((high - low) / bins)))
    edges = np.arange(low, high + width, width)
    counts, _ = np.histogram(np.minimum(values, edges[-1] - 0.5), edges)
    return Histogram(edges.tolist(), counts.tolist())
