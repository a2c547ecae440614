"""The bundles of the source, one by one, as a runner works them."""

import logging
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import pytest
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.sdf_utils import RestrictionTrackerView, ThreadsafeRestrictionTracker

from tests.transforms.io.pubsub.server import Server
from transforms.counters import process_counts
from transforms.io.pubsub import puller as puller_module
from transforms.io.pubsub import read
from transforms.io.pubsub.puller import Limits
from transforms.io.pubsub.read import ReadFromSubscription, _Endless, _Pull
from transforms.runners.fused_stream import check_one_stage

SUBSCRIPTION = "projects/p/subscriptions/sub"
LIMITS = Limits(max_messages=2, max_bytes=1_000_000, max_wait_seconds=0.05, lease_seconds=10)


@pytest.fixture
def pull(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Pull]:
    """The DoFn, set up, whose bundles are idle for at most 0.3 s."""
    monkeypatch.setattr(read, "_IDLE_SECONDS", 0.3)
    made = _Pull(SUBSCRIPTION, LIMITS)
    made.setup()
    yield made
    made.teardown()


class Bundle(NamedTuple):
    """What came of a bundle, by reader: the payloads, and the watermark in microseconds; and how to finalize it."""

    payloads: list[list[bytes]]
    watermarks: list[int]
    finalizer: Any


def work(pull: _Pull, readers: int = 1) -> Bundle:
    """Works a bundle of so many readers, each of which must be deferred."""
    finalizer = beam.transforms.core._BundleFinalizerParam()
    pull.start_bundle()
    payloads, watermarks = [], []
    for _ in range(readers):
        tracker = ThreadsafeRestrictionTracker(_Endless().create_tracker("live"))
        watermark = ManualWatermarkEstimator(None)
        elements = pull.process(b"", finalizer, RestrictionTrackerView(tracker), watermark)
        payloads.append([element.value.data for element in elements])
        watermarks.append(watermark.current_watermark().micros)
        assert tracker.deferred_status() is not None
    pull.finish_bundle()
    return Bundle(payloads, watermarks, finalizer)


@pytest.mark.parametrize("messages", [0, 1])
def test_every_bundle_can_be_finalized(server: Server, pull: _Pull, messages: int) -> None:
    """An empty one, too: Prism logs an error for each that cannot."""
    server.publish([b"one"][:messages])
    bundle = work(pull)
    assert bundle.finalizer.has_callbacks()
    bundle.finalizer.finalize_bundle()
    assert server.acknowledged == [b"one"][:messages]


def test_idle_readers_of_a_bundle_wait_together(pull: _Pull) -> None:
    """Not one after the other, which would hold up the runner."""
    begun = time.monotonic()
    assert work(pull, readers=5).payloads == [[]] * 5
    assert 0.2 < time.monotonic() - begun < 1


def test_a_bundle_ends_when_one_of_its_readers_has_messages(server: Server, pull: _Pull) -> None:
    """The others do not wait for more, nor make the bundle larger than it may be."""
    server.publish([b"one", b"two", b"three"])
    begun = time.monotonic()
    assert [len(some) for some in work(pull, readers=3).payloads] == [2, 0, 0]
    assert [len(some) for some in work(pull, readers=3).payloads] == [1, 0, 0]
    assert time.monotonic() - begun < 0.6


def test_every_reader_s_watermark_waits_for_acknowledgement(server: Server, pull: _Pull) -> None:
    """And is then a little behind the clock."""
    server.publish([b"one"])
    bundle = work(pull, readers=2)
    assert bundle.watermarks == [9_000_000] * 2
    bundle.finalizer.finalize_bundle()
    for watermark in work(pull, readers=2).watermarks:
        assert 4 < time.time() - watermark / 1e6 < 7


def test_bundles_that_are_not_finalized_are_said_and_counted(
    server: Server, pull: _Pull, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, as long as it lasts."""
    monkeypatch.setattr(puller_module, "_FINALIZED_WITHIN_SECONDS", 0.1)
    before = process_counts().get("pubsub_unfinalized", 0)
    server.publish([b"one"])
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            work(pull)
    assert process_counts()["pubsub_unfinalized"] - before == 1
    (line,) = caplog.messages
    assert "so that 1 messages of projects/p/subscriptions/sub are not acknowledged" in line


@pytest.mark.parametrize(("readers", "steps"), [(1, ["Pull", "Start"]), (2, ["Pull", "Readers", "Start"])])
def test_one_reader_is_the_graph_of_jobs_that_run(readers: int, steps: list[str]) -> None:
    """They can be updated; with any number of readers, a local stream is one stage."""
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([]))
    _ = pipeline | "Read" >> ReadFromSubscription(SUBSCRIPTION, readers=readers)
    check_one_stage(pipeline)
    proto = pipeline.to_runner_api()
    names = {step.unique_name.split("/")[1] for step in proto.components.transforms.values() if "/" in step.unique_name}
    assert sorted(name.split("(")[0] for name in names) == steps
