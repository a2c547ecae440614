"""How well searches find what they should: measures of rankings, with intervals and paired tests."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.search.fusion import fused, words_of
from pipeline.search.places import Found
from pipeline.search.searching import Search

Array = np.ndarray[Any, Any]

MEASURES = ("R@10", "nDCG@10", "RR@10")
# The sentences of a ranking, of which several may be of one message.
_DEPTH = 100
_RESAMPLES = 2000
# With fewer words, a first sentence says nothing of the others.
_LEAST_WORDS = 4


class Question(NamedTuple):
    """A query.

    Attributes:
        id: what judgements call it.
        text: what is looked for.
        is_sentence: whether it is a sentence of the rows, which is not to be found itself.
    """

    id: str
    text: str
    is_sentence: bool = False


# By the id of a query, how relevant messages are; 0 is not at all.
Judgements = dict[str, dict[str, int]]


def known_items(items: Iterable[tuple[str, str]], are_sentences: bool) -> tuple[list[Question], Judgements]:
    """Questions whose one right answer is the message that they were taken from."""
    questions = [
        Question(message, text, are_sentences) for message, text in items if len(words_of(text)) >= _LEAST_WORDS
    ]
    return questions, {question.id: {question.id: 1} for question in questions}


def rankings(search: Search, questions: Sequence[Question]) -> dict[str, dict[str, list[str]]]:
    """By the way of searching, "vectors", "words" and "hybrid", the messages found for each question, best first."""
    found: dict[str, dict[str, list[str]]] = {"vectors": {}, "words": {}, "hybrid": {}}
    for question in questions:
        ways = search.rankings(question.text, _DEPTH)
        kept = {way: [each for each in ranking if not _is_itself(question, each)] for way, ranking in ways.items()}
        kept["hybrid"] = fused(list(kept.values()), _DEPTH)
        for way, ranking in kept.items():
            found[way][question.id] = list(dict.fromkeys(each.message_id for each in ranking))
    return found


def _is_itself(question: Question, found: Found) -> bool:
    return question.is_sentence and found.content == question.text


def scores(ranked: Mapping[str, Sequence[str]], judgements: Judgements) -> dict[str, Array]:
    """By measure, the score of each query that has a judgement, in their order; 0 for one without an answer."""
    import ir_measures

    run = {query: {id: -float(rank) for rank, id in enumerate(found)} for query, found in ranked.items()}
    queries = list(judgements)
    values = {name: np.zeros(len(queries)) for name in MEASURES}
    for metric in ir_measures.iter_calc(list(map(ir_measures.parse_measure, MEASURES)), judgements, run):
        values[str(metric.measure)][queries.index(metric.query_id)] = metric.value
    return values


def interval(values: Array) -> tuple[float, float]:
    """The 95% confidence interval of a mean, by a bootstrap of the queries."""
    random = np.random.default_rng(0)
    means = random.choice(values, (_RESAMPLES, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def p_value(first: Array, second: Array) -> float:
    """How probable a difference of the means as large as this is, if either was better as often as the other.

    A paired randomization test (Smucker, Allan and Carterette, 2007).
    """
    from scipy.stats import permutation_test

    def mean(differences: Array, axis: int) -> Array:
        return np.asarray(np.mean(differences, axis=axis))

    statistic: Callable[..., Array] = mean
    return float(
        permutation_test(
            (first - second,), statistic, permutation_type="samples", vectorized=True, n_resamples=_RESAMPLES, rng=0
        ).pvalue
    )
