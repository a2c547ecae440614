"""What the BigQuery writers are made of; tests/integration/test_bigquery.py runs them."""

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from transforms.io.bigquery.write import METHODS, WriteDeadLettersToBigQuery, WriteRowsToBigQuery
from transforms.types import DeadLetter, SentenceEmbedding


@pytest.mark.parametrize("method", METHODS)
def test_a_writer_is_one_step_without_state_or_grouping(method: str) -> None:
    """So a stream is one fused stage, and a pulled batch is a bundle is an append."""
    pipeline = beam.Pipeline(options=PipelineOptions([]))
    rows = pipeline | "Rows" >> beam.Create([]).with_output_types(SentenceEmbedding)
    letters = pipeline | "Letters" >> beam.Create([]).with_output_types(DeadLetter)
    rows | "Write" >> WriteRowsToBigQuery("p:d.t", method).with_dead_letters()
    letters | "Write letters" >> WriteDeadLettersToBigQuery("p:d.t_error_records", method)
    steps = pipeline.to_runner_api().components.transforms.values()
    found = {step.unique_name: step.spec for step in steps if step.unique_name.startswith("Write") and step.spec.urn}
    leaves = {name: spec for name, spec in found.items() if "pardo" in spec.urn}
    assert {name.removesuffix("/ParDo(_WriteRows)") for name in leaves} == {
        "Write/Write rows",
        "Write letters/Write dead letters",
    }
    assert not [name for name, spec in found.items() if "group" in spec.urn or "reshuffle" in spec.urn]
    for spec in leaves.values():
        pardo = beam.portability.api.beam_runner_api_pb2.ParDoPayload.FromString(spec.payload)
        assert not any([pardo.state_specs, pardo.timer_family_specs, pardo.requires_stable_input])


@pytest.mark.parametrize("transform", [WriteRowsToBigQuery, WriteDeadLettersToBigQuery])
def test_wrong_options_are_refused_at_once(transform: type[beam.PTransform]) -> None:
    """Before any pipeline starts, in one line."""
    with pytest.raises(ValueError, match="expected a table as project:dataset.table, got 'rows'; "):
        transform("rows")
    with pytest.raises(
        ValueError, match="expected method to be one of STORAGE_WRITE_ARROW, STREAMING_INSERTS, got 'FILE'"
    ):
        transform("p:d.t", "FILE")
