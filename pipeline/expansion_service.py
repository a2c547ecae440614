"""`python -m pipeline.expansion_service`: SplitSentences and EmbedSentences for Java and YAML (docs/java.md).

It trusts its callers, as a pipeline may contain code: keep it on this machine, or in a network of your own.
"""

import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

import grpc
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import (
    beam_artifact_api_pb2_grpc,
    beam_expansion_api_pb2,
    beam_expansion_api_pb2_grpc,
    beam_fn_api_pb2_grpc,
    external_transforms_pb2,
)
from apache_beam.runners.portability.expansion_service import ExpansionServiceServicer
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
from apache_beam.transforms.fully_qualified_named_transform import PYTHON_FULLY_QUALIFIED_NAMED_TRANSFORM_URN
from apache_beam.transforms.ptransform import PTransform
from apache_beam.utils import thread_pool_executor

from pipeline import console, stopping
from pipeline.arguments import Parser
from transforms.integrations.schema_transforms import discovered, made, named

_PROGRAM = "python -m pipeline.expansion_service"
# How a transform is asked for: by its identifier and typed configuration, or as PythonExternalTransform does.
_CALLS = {
    common_urns.schematransform_based_expand.urn: (external_transforms_pb2.SchemaTransformPayload, made),
    PYTHON_FULLY_QUALIFIED_NAMED_TRANSFORM_URN: (external_transforms_pb2.ExternalConfigurationPayload, named),
}
_STOP_SECONDS = 5.0


class Servicer(ExpansionServiceServicer):
    """Beam's expansion service with the SchemaTransforms of this package, and no other transform."""

    def DiscoverSchemaTransform(self, request: Any, context: Any = None) -> Any:
        """What there is, with its typed configuration."""
        return beam_expansion_api_pb2.DiscoverSchemaTransformResponse(schema_transform_configs=discovered())

    def Expand(self, request: Any, context: Any = None) -> Any:
        """The transform's graph, or an error, in one line if the caller can mend it."""
        urn = request.transform.spec.urn
        if urn not in _CALLS:
            error = f"expected a transform asked for by {' or '.join(_CALLS)}, got {urn!r}"
            return beam_expansion_api_pb2.ExpansionResponse(error=error)
        response = super().Expand(request, context)
        last = response.error.strip().rpartition("\n")[-1]
        kind, _, said = last.partition(": ")
        if kind in ("ValueError", "TypeError"):
            return beam_expansion_api_pb2.ExpansionResponse(error=said)
        return response


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C. Returns 0, or 2 if the service was refused."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if bool(arguments.environment_type) != bool(arguments.environment_config):
        parser.error("expected --environment_type and --environment_config, got one of them; give both, or none")
    console.prepare()
    try:
        # gRPC would print more lines than one about it.
        with socket.create_server((arguments.host, arguments.port)):
            pass
    except (OSError, OverflowError) as error:
        print(
            f"{_PROGRAM}: expected --host and --port to be free, got {arguments.host}:{arguments.port}, "
            f"{getattr(error, 'strerror', None) or error}; give others",
            file=sys.stderr,
        )
        return 2
    for urn, (payload, make) in _CALLS.items():
        PTransform.register_urn(urn, payload, lambda _, payload, context, make=make: make(payload))
    # By default, gRPC lets several processes listen on one port.
    server = grpc.server(thread_pool_executor.shared_unbounded_instance(), options=[("grpc.so_reuseport", 0)])
    port = server.add_insecure_port(f"{arguments.host}:{arguments.port}")
    address = f"{arguments.host}:{port}"
    servicer = Servicer(
        PipelineOptions(
            [],
            environment_type=arguments.environment_type or "EXTERNAL",
            environment_config=arguments.environment_config or address,
            # The environment has this package.
            sdk_location="container",
        )
    )
    beam_expansion_api_pb2_grpc.add_ExpansionServiceServicer_to_server(servicer, server)
    beam_artifact_api_pb2_grpc.add_ArtifactRetrievalServiceServicer_to_server(servicer.artifact_service(), server)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(BeamFnExternalWorkerPoolServicer(), server)
    stopped = threading.Event()
    with stopping.handled_by(lambda number, frame: stopped.set()):
        server.start()
        print(f"serving on {address}", flush=True)
        stopped.wait()
        server.stop(_STOP_SECONDS).wait()
    return 0


def _parser() -> Parser:
    parser = Parser(
        "pipeline.expansion_service",
        "Serve SplitSentences and EmbedSentences to programs in Java and YAML.",
    )
    parser.add_argument("--port", type=int, required=True, help="Port to listen on; 0 for a free one.")
    parser.add_argument("--host", default="localhost", help="Address to listen on, which runners must reach.")
    parser.add_argument(
        "--environment_type",
        default="",
        choices=["DOCKER", "EXTERNAL"],
        help="Where the transforms run. [this process]",
    )
    parser.add_argument(
        "--environment_config",
        default="",
        metavar="IMAGE|HOST:PORT",
        help="An image with this package, or a worker pool.",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
