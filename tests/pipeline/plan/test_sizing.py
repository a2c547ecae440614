"""The arithmetic of a plan, over all loads that it takes."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.plan.sizing import HEAD_ROOM, SHORT_BYTES, Encoder, Load, Place, Plan, plan
from pipeline.plan.tables import PRICES, STREAM_SHARE

loads = st.builds(Load, st.floats(0.001, 1e6), st.floats(0.001, 1e5), st.floats(1, 1e7))
encoders = st.builds(
    Encoder, st.floats(0.01, 1e5), st.floats(0.1, 28), st.integers(1, 4096), st.none() | st.floats(1, 1e6)
)
places = st.builds(Place, st.sampled_from([4, 8]), st.sampled_from(["region", "multi_region"]), st.floats(0, 36_500))

MINILM = Encoder(160, 1.6, 384)
HERE = Place(4, "region", 30)


def numbers(made: Plan) -> list[float]:
    """Every number of a plan."""
    uses = itertools.chain.from_iterable((use.need, use.met_at) for use in made.uses)
    return [*(value for value in made if isinstance(value, int | float)), *made.costs.values(), made.cost, *uses]


@given(loads, encoders, places)
def test_no_number_is_negative_or_without_end(load: Load, encoder: Encoder, place: Place) -> None:
    """However small or large a load is."""
    assert all(math.isfinite(value) and value >= 0 for value in numbers(plan(load, encoder, place)))


@given(loads, encoders, places)
def test_the_workers_can_do_the_load_and_the_head_room_and_one_less_cannot(
    load: Load, encoder: Encoder, place: Place
) -> None:
    """So an outage is caught up, and nobody pays for an idle worker."""
    made = plan(load, encoder, place)
    wanted = load.messages * load.sentences * HEAD_ROOM
    assert made.capacity == place.vcpus * encoder.sentences * STREAM_SHARE
    assert made.workers * made.capacity >= wanted * (1 - 1e-9)
    assert made.workers == 1 or (made.workers - 1) * made.capacity < wanted


@given(loads, encoders, places, st.floats(1, 1000), st.integers(0, 2))
def test_more_load_never_needs_less(load: Load, encoder: Encoder, place: Place, times: float, grown: int) -> None:
    """Of messages, of sentences in them, and of bytes."""
    greater = Load(*(value * times if at == grown else value for at, value in enumerate(load)))
    less, more = plan(load, encoder, place), plan(greater, encoder, place)
    assert less.workers <= more.workers
    assert all(less.costs[name] <= more.costs[name] * (1 + 1e-9) for name in less.costs)
    needs = {use.quota: use.need for use in more.uses}
    assert all(use.need <= needs[use.quota] * (1 + 1e-9) for use in less.uses)


@given(loads, encoders, places)
def test_the_cost_adds_up(load: Load, encoder: Encoder, place: Place) -> None:
    """To that of its parts."""
    made = plan(load, encoder, place)
    assert made.cost == pytest.approx(math.fsum(made.costs.values()))


@given(loads, encoders, places)
def test_the_quota_that_is_first_is_met_first(load: Load, encoder: Encoder, place: Place) -> None:
    """At the load that meets it, none is exceeded by more than the one worker that is not cut in parts."""
    made = plan(load, encoder, place)
    there = plan(load._replace(messages=made.uses[0].met_at), encoder, place)
    for use in there.uses:
        a_worker = {"workers": 1, "connections": 3}.get(use.quota.unit, 0)
        assert use.need <= (use.quota.value + a_worker) * (1 + 1e-6)


def test_a_vector_takes_eight_bytes_a_number() -> None:
    """Whatever its precision, as the column is FLOAT64; the sentence and the short columns come to it."""
    made = plan(Load(10, 4, 1000), MINILM, HERE)
    assert made.vector_bytes == 8 * 384
    assert made.row_bytes == made.vector_bytes + SHORT_BYTES + 250
    assert made.written == 40 * made.row_bytes + 10 * SHORT_BYTES


def test_a_sentence_is_no_longer_than_its_message() -> None:
    """Where many messages have none."""
    assert plan(Load(10, 0.1, 1000), MINILM, HERE).row_bytes == 8 * 384 + SHORT_BYTES + 1000


def test_measured_bytes_take_the_place_of_the_estimate() -> None:
    """Metadata is in every row, which the estimate cannot know."""
    assert plan(Load(10, 4, 1000), MINILM._replace(other_bytes=900), HERE).row_bytes == 8 * 384 + 900


def test_the_price_of_workers_is_that_of_their_cpus_memory_and_disk() -> None:
    """For all hours of a month."""
    hour = 4 * PRICES["vcpu"].value + 16 * PRICES["memory"].value + 30 * PRICES["disk"].value
    assert plan(Load(1, 1, 1), MINILM, HERE).costs["workers"] == pytest.approx(730 * hour)


def test_a_large_process_gets_a_machine_with_more_memory() -> None:
    """And one that no machine holds is refused."""
    made = [plan(Load(1, 1, 1), MINILM._replace(process_gb=size), HERE).worker_gb for size in (14, 15)]
    assert made == [16, 32]
    with pytest.raises(ValueError, match=r"expected vcpus_per_worker of a machine with 44\.4 GB, .* choose more$"):
        plan(Load(1, 1, 1), MINILM._replace(process_gb=40), HERE)


def test_rows_that_are_not_kept_cost_no_storage() -> None:
    """Though they are written."""
    costs = plan(Load(1, 1, 1), MINILM, HERE._replace(days=0)).costs
    assert costs["BigQuery, storage"] == 0
    assert costs["BigQuery, writing"] > 0
