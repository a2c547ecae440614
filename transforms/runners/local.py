"""Beam's local runner."""

from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions


def local_runner(beam_options: PipelineOptions) -> Any:
    """Beam's FnApiRunner; the DirectRunner would first download the binary of another runner."""
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners.portability.fn_api_runner import fn_runner
    from apache_beam.runners.portability.portable_runner import JobServiceHandle

    encoded = JobServiceHandle.encode_pipeline_options(beam_options.get_all_options())
    provision = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    return fn_runner.FnApiRunner(provision_info=fn_runner.ExtendedProvisionInfo(provision))
