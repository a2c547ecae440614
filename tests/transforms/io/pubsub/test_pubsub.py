"""What of the Pub/Sub source and sink needs no server."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.metrics import monitoring_infos
from apache_beam.metrics.cells import BoundedTrieData, GaugeData
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, fn_runner

from transforms.io.pubsub.read import ReadFromSubscription, _Endless
from transforms.io.pubsub.resources import validated
from transforms.io.pubsub.write import WriteToTopic
from transforms.runners.bounded_metrics import bound_runner_metrics
from transforms.runners.fused_stream import check_one_stage
from transforms.types import Record


@pytest.mark.parametrize("name", ["projects/p/subscriptions/sub", "projects/example.com:p/subscriptions/s-1._~+%"])
def test_subscription_names(name: str) -> None:
    """Full names are taken as they are."""
    assert validated(name, "subscription") == name


@pytest.mark.parametrize(
    "name",
    [
        "foo",
        "",
        "projects/p/topics/sub",
        "projects/p/subscriptions/",
        "projects/p/subscriptions/ab",
        "projects/p/subscriptions/1ab",
        "projects/p/subscriptions/google",
        "projects//subscriptions/sub",
        "projects/p/subscriptions/sub\n",
    ],
)
def test_a_wrong_subscription_is_refused(name: str) -> None:
    """Anything else is refused with what was expected, what was given and what to do."""
    with pytest.raises(ValueError, match=r"expected a subscription as projects/P/subscriptions/S.*, got .*; `gcloud"):
        ReadFromSubscription(name)


@pytest.mark.parametrize(
    ("id", "rule"),
    [
        ("s", "has 3 to 255 characters"),
        ("s" * 256, "has 3 to 255 characters"),
        ("1ab", "begins with a letter"),
        ("goog-s", 'does not begin with "goog"'),
        ("a b!", "has only letters, digits and"),
        ("sub\n", "has only letters, digits and"),
    ],
)
def test_a_wrong_id_says_which_rule_it_breaks(id: str, rule: str) -> None:
    """As "projects/p/subscriptions/s" looks right."""
    with pytest.raises(ValueError, match=f"projects/P/subscriptions/S whose id {rule}"):
        ReadFromSubscription(f"projects/p/subscriptions/{id}")


def test_a_wrong_topic_is_refused() -> None:
    """A subscription is no topic."""
    assert validated("projects/p/topics/t-1", "topic") == "projects/p/topics/t-1"
    with pytest.raises(ValueError, match=r"expected a topic as projects/P/topics/T, got 'projects/p/subscriptions/s'"):
        WriteToTopic("projects/p/subscriptions/s")


@pytest.mark.parametrize(
    ("option", "value"),
    [("max_messages", 0), ("max_bytes", 0), ("max_wait_seconds", -1), ("lease_seconds", 9), ("readers", 0)],
)
def test_a_wrong_number_is_refused(option: str, value: int) -> None:
    """The error names the option."""
    with pytest.raises(ValueError, match=f"expected {option} of .* or more, got {value}"):
        ReadFromSubscription("projects/p/subscriptions/sub", **{option: value})


def test_the_read_is_deferred_or_ended_once() -> None:
    """A restriction has one rest; deferred or ended, it has none, and then it is done."""
    provider = _Endless()
    tracker = provider.create_tracker(provider.initial_restriction(b""))
    with pytest.raises(ValueError, match="deferred or ended"):
        tracker.check_done()
    done, rest = tracker.try_split(0) or ("", "")
    assert tracker.check_done()
    assert tracker.try_split(0) is None
    assert provider.create_tracker(done).check_done()
    following = provider.create_tracker(rest)
    assert rest, "Beam drops a remainder that is false"
    assert following.try_claim(None)
    assert following.check_done()


def test_metrics_are_added_up_at_once() -> None:
    """A thousand bundles leave as many infos as one, with counters added and of other kinds the newest."""
    bound_runner_metrics()
    bound_runner_metrics()
    total: list[Any] = []
    for number in range(1000):
        infos = [
            monitoring_infos.int64_user_counter("space", "counter", 2, ptransform="step"),
            monitoring_infos.int64_user_gauge("space", "gauge", GaugeData(number, timestamp=number), ptransform="step"),
        ]
        total = fn_runner.consolidate_monitoring_infos([*infos, *total])
    counter, gauge = total
    assert monitoring_infos.extract_counter_value(counter) == 2000
    assert monitoring_infos.extract_gauge_value(gauge)[1] == 999


def test_lineage_of_all_bundles_is_kept() -> None:
    """Of one that names another sink, and of one that names none."""
    bound_runner_metrics()
    total: list[Any] = []
    for segments in (("table:", "a"), ("table:", "b"), (), ("table:", "a")):
        trie = BoundedTrieData(singleton=segments or None)
        infos = [monitoring_infos.user_bounded_trie("lineage", "sinks", trie, ptransform="step")]
        total = fn_runner.consolidate_monitoring_infos([*infos, *total])
    (info,) = total
    names = monitoring_infos.extract_bounded_trie_value(info).get_result()
    assert {"".join(name[:-1]) for name in names} == {"table:a", "table:b"}


def _two(record: Record) -> Iterator[object]:
    yield record
    yield beam.pvalue.TaggedOutput("other", record)


def _flatten(records: Any) -> Any:
    outputs = records | beam.FlatMap(_two).with_outputs("other", main="main")
    return (outputs.main, outputs.other) | beam.Flatten() | beam.Map(print)


def _reshuffle(records: Any) -> Any:
    return records | "Mix" >> beam.Reshuffle() | beam.Map(print)


def _side_input(records: Any) -> Any:
    return records | beam.Map(lambda record, others: None, beam.pvalue.AsIter(records))


def _branches(records: Any) -> Any:
    outputs = records | beam.FlatMap(_two).with_outputs("other", main="main")
    _ = outputs.main | "First sink" >> beam.Map(print)
    return outputs.other | beam.Map(lambda record: record.data) | WriteToTopic("projects/p/topics/top")


@pytest.mark.parametrize(("steps", "name"), [(_flatten, "_two"), (_reshuffle, "Mix"), (_side_input, "Pull")])
def test_a_stream_of_several_stages_is_refused(steps: Any, name: str) -> None:
    """The step behind which elements would wait for the end of the stream is named before the stream starts."""
    pipeline = beam.Pipeline(runner=FnApiRunner())
    steps(pipeline | "Read" >> ReadFromSubscription("projects/p/subscriptions/sub"))
    with pytest.raises(ValueError, match=f"expected a local stream to be one stage, .*{name}"):
        check_one_stage(pipeline)


def test_branches_with_sinks_of_their_own_are_one_stage() -> None:
    """Several outputs, each with its sink, and a bounded side branch that groups: all right."""
    pipeline = beam.Pipeline(runner=FnApiRunner())
    _branches(pipeline | "Read" >> ReadFromSubscription("projects/p/subscriptions/sub"))
    _ = pipeline | beam.Create([("a", 1)]) | beam.GroupByKey()
    check_one_stage(pipeline)
