"""A stand-in for Terraform's Google providers: their recorded schema, and no cloud behind it.

Terraform itself then checks every argument, block, type and reference of the module, and says what it would make. The
schema is read from the wheel of cdktn-provider-google-beta, which is generated from the provider's own:

    pip download --no-deps cdktn-provider-google-beta==21.1.0
    python -m tests.templates.terraform_provider cdktn_provider_google_beta-21.1.0-py3-none-any.whl
"""

import json
import os
import pathlib
import re
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from concurrent import futures
from types import TracebackType
from typing import Any

import grpc
import msgpack
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from templates import render
from tests.conftest import DATA

SCHEMA = DATA / "terraform_provider.json"
# What is used of Terraform's plugin protocol 6, each message's fields by number: * is several, a capital a message.
_MESSAGES: Mapping[str, Mapping[int, str]] = {
    "Value": {1: "msgpack bytes", 2: "json bytes"},
    "Attribute": {1: "name string", 2: "type bytes", 4: "required bool", 5: "optional bool", 6: "computed bool"},
    "Nested": {1: "type_name string", 2: "block Block", 3: "nesting int64", 4: "min_items int64", 5: "max_items int64"},
    "Block": {2: "attributes *Attribute", 3: "block_types *Nested"},
    "Schema": {2: "block Block"},
    "Entry": {1: "key string", 2: "value Schema"},
    "Schemas": {1: "provider Schema", 2: "resource_schemas *Entry"},
    "Raw": {1: "json bytes"},
    "Upgrade": {1: "type_name string", 3: "raw_state Raw"},
    "Read": {1: "type_name string", 2: "state Value"},
    "Change": {1: "type_name string", 2: "prior_state Value", 3: "state Value"},
    "State": {1: "state Value"},
    "Planned": {1: "state Value", 5: "legacy_type_system bool"},
    "Nothing": {},
}
# The provider moves these parameters into a job's environment, and shows them as these arguments. When it reads a job,
# it looks for them under Java's names, and so finds none in a job of Python.
ENVIRONMENT = {
    "maxNumWorkers": "max_workers",
    "network": "network",
    "numWorkers": "num_workers",
    "sdkContainerImage": "sdk_container_image",
    "stagingLocation": "staging_location",
    "subnetwork": "subnetwork",
    "tempLocation": "temp_location",
    "workerMachineType": "machine_type",
}
_NESTING = {"list": 2, "set": 3, "struct": 1}


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="plugin.proto", package="plugin", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field in fields.items():
            field_name, kind = field.split()
            several, kind = kind.startswith("*"), kind.lstrip("*")
            made = message.field.add(name=field_name, number=number, label=3 if several else 1)
            if kind[0].isupper():
                made.type, made.type_name = made.TYPE_MESSAGE, f".plugin.{kind}"
            else:
                made.type = getattr(made, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"plugin.{name}")) for name in _MESSAGES}


_OF = _messages()


class Provider:
    """The providers google and google-beta, for as long as it is entered.

    Attributes:
        resources: the recorded schema of each resource.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.resources: dict[str, Any] = json.loads(SCHEMA.read_text())["resources"]
        self._socket = folder / "provider.sock"
        self._server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[_Handler(self._methods())])
        self._server.add_insecure_port(f"unix://{self._socket}")

    def __enter__(self) -> "Provider":
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(None)

    @property
    def environment(self) -> dict[str, str]:
        """The variable that lets Terraform find it, instead of looking for the providers in a registry."""
        address = {"Network": "unix", "String": str(self._socket)}
        served = {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True, "Addr": address}
        names = ("google", "google-beta")
        found = {f"registry.terraform.io/hashicorp/{name}": served for name in names}
        return {"TF_REATTACH_PROVIDERS": json.dumps(found)}

    def _methods(self) -> dict[str, tuple[str, Callable[[Any], Any]]]:
        def nothing(request: Any) -> Any:
            return _OF["Nothing"]()

        return {
            "GetProviderSchema": ("Nothing", lambda request: self._schemas()),
            "ValidateProviderConfig": ("Nothing", nothing),
            "ConfigureProvider": ("Nothing", nothing),
            "ValidateResourceConfig": ("Nothing", nothing),
            "StopProvider": ("Nothing", nothing),
            "UpgradeResourceState": ("Upgrade", lambda request: _OF["State"](state={"json": request.raw_state.json})),
            "ReadResource": ("Read", lambda request: _OF["State"](state=request.state)),
            "PlanResourceChange": ("Change", self._plan),
            "ApplyResourceChange": ("Change", lambda request: _OF["State"](state=request.state)),
        }

    def _schemas(self) -> Any:
        arguments = {name: ["string", "optional"] for name in ("project", "region")}
        provider = {"block": _block({"attributes": arguments, "blocks": {}})}
        entries = [{"key": name, "value": {"block": _block(found)}} for name, found in self.resources.items()]
        return _OF["Schemas"](provider=provider, resource_schemas=entries)

    def _plan(self, request: Any) -> Any:
        """What was proposed; what the cloud would set is known at once, a text by its own name."""
        planned = msgpack.unpackb(request.state.msgpack)
        for name, (kind, *uses) in self.resources[request.type_name]["attributes"].items():
            made = name == "id" or uses == ["computed"]
            if planned and planned[name] is None and made and kind in ("string", "number"):
                planned[name] = f"{request.type_name}.{name}" if kind == "string" else 1
        if planned and request.type_name == "google_dataflow_flex_template_job":
            for parameter in ENVIRONMENT.keys() & planned["parameters"].keys():
                given = planned["parameters"][parameter]
                planned[ENVIRONMENT[parameter]] = int(given) if parameter.endswith("Workers") else given
        return _OF["Planned"](state={"msgpack": msgpack.packb(planned)}, legacy_type_system=True)


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, methods: Mapping[str, tuple[str, Callable[[Any], Any]]]) -> None:
        self._methods = methods

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        service, _, name = details.method.rpartition("/")
        if service != "/tfplugin6.Provider" or name not in self._methods:
            return None
        request, method = self._methods[name]
        return grpc.unary_unary_rpc_method_handler(
            lambda message, context: method(message),
            request_deserializer=_OF[request].FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )


def _block(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "attributes": [
            {"name": name, "type": json.dumps(kind).encode(), **dict.fromkeys(uses, True)}
            for name, (kind, *uses) in found["attributes"].items()
        ],
        "block_types": [
            {
                "type_name": name,
                "block": _block(nested),
                "nesting": _NESTING[nested["nesting"]],
                "min_items": nested["min_items"],
                "max_items": nested["max_items"],
            }
            for name, nested in found["blocks"].items()
        ],
    }


def record(wheel: pathlib.Path) -> dict[str, Any]:
    """The schema of the resources that the module has: {"version": ..., "resources": {type: block}}.

    A block has attributes, {name: [type, "required" | "optional" | "computed", ...]}, and blocks of its own.
    """
    module = "".join(path.read_text() for path in (render.DIRECTORY / "terraform").glob("*.tf"))
    types = sorted(set(re.findall(r'^resource "(\w+)"', module, re.MULTILINE)))
    with zipfile.ZipFile(wheel) as files:
        (archive,) = [name for name in files.namelist() if name.endswith(".jsii.tgz")]
        with files.open(archive) as packed, tarfile.open(fileobj=packed) as sources:
            texts = {
                member.name.split("/")[2].replace("-", "_"): sources.extractfile(member).read().decode()  # type: ignore[union-attr]
                for member in sources
                if re.fullmatch(r"package/lib/[\w-]+/index\.js", member.name)
                and member.name.split("/")[2].replace("-", "_") in types
            }
    (version,) = {found for text in texts.values() for found in re.findall(r"providerVersion: '([\d.]+)'", text)}
    return {"version": version, "resources": {name: _recorded(texts[name], "TerraformResource") for name in types}}


_ATTRIBUTE = re.compile(
    r"^ +(\w+): {\n +value: (.+),\n +isBlock: (\w+),\n +type: \"(\w+)\",\n +storageClassType: \"(\w+)\"", re.MULTILINE
)


def _recorded(text: str, name: str) -> dict[str, Any]:
    """The block of a class in a module of cdktn: a resource's, or that of the structure `name`."""
    head = (
        r"class \w+ extends cdktn\.TerraformResource" if name == "TerraformResource" else f"class {name}OutputReference"
    )
    (body,) = re.findall(rf"^{head} .*?^}}", text, re.MULTILINE | re.DOTALL)
    given = body
    if name != "TerraformResource":
        function = name[0].lower() + name[1:]
        (given,) = re.findall(rf"^function {function}ToHclTerraform\(.*?^}}", text, re.MULTILINE | re.DOTALL)
    uses = {
        field: [use for use in ("required", "optional", "computed") if f"{use}: true" in line]
        for field, line in re.findall(r"^ +// (\w+) - (computed: .*)$", body, re.MULTILINE)
    }
    found: dict[str, Any] = {"attributes": {}, "blocks": {}}
    for kind, field in re.findall(r"return this\.get(String|Number|Boolean)Attribute\('(\w+)'\)", body):
        found["attributes"][field] = [_PLAIN[kind.lower()], *uses[field]]
    for structure, field in re.findall(r"= new (Google\w+)List\(this, \"(\w+)\", \w+\)", body):
        if uses[field] == ["computed"]:
            inside = _recorded(text, structure)["attributes"]
            members = {name: inner for name, (inner, *_) in inside.items()}
            found["attributes"][field] = [["list", ["object", members]], "computed"]
    for field, value, is_block, kind, stored in _ATTRIBUTE.findall(given):
        if is_block == "true":
            (structure,) = re.findall(r"(google\w+)ToHclTerraform", value)
            most = 1 if "internalValue" in value or kind == "struct" else 0
            found["blocks"][field] = {
                "nesting": kind,
                "min_items": int("required" in uses[field]),
                "max_items": most if kind != "struct" else 0,
                **_recorded(text, structure[0].upper() + structure[1:]),
            }
            found["attributes"].pop(field, None)
        else:
            inner = _PLAIN[re.sub("(List|Map)$", "", stored)]
            found["attributes"][field] = [inner if kind == "simple" else [kind, inner], *uses[field]]
    return found


_PLAIN = {"string": "string", "number": "number", "boolean": "bool"}

if __name__ == "__main__":
    made = record(pathlib.Path(sys.argv[1]))
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(block)}" for name, block in made["resources"].items())
    SCHEMA.write_text(f'{{"version": "{made["version"]}", "resources": {{\n{lines}\n}}}}\n')
