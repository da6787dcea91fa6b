"""A stand-in for hashicorp/google: the schema is the real one, the cloud is not there.

It speaks Terraform's plugin protocol 6 on a Unix socket and prints what Terraform expects in
`TF_REATTACH_PROVIDERS`, so that neither a registry nor a plugin binary nor a lock file is needed:

    .venv-deploy/bin/python -m tests.deploy.terraform.provider /tmp/socket

What Terraform itself checks against a schema is checked: names, types, what is required, how often
a block may stand, and, by this program, the values that a description allows. A planned resource
has unknown values wherever the real one is computed; an applied one has made-up ones.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
import msgpack
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc

from tests.deploy.terraform.schema import read_schema

_SOURCE: Final = "registry.terraform.io/hashicorp/google"
_UNKNOWN: Final = msgpack.ExtType(0, b"\x00")
_MADE_UP: Final[Mapping[str, Any]] = {"number": 0, "bool": False, "list": [], "set": [], "map": {}}
# Of the provider's own arguments, those that the example gives.
_PROVIDER: Final = {
    "attributes": {name: {"type": "string", "optional": True} for name in ("project", "region")},
    "blocks": {},
}

Block = dict[str, Any]
Path = tuple[str | int, ...]


def _message(block: Block) -> Any:  # noqa: ANN401 - generated, and without types
    out = pb.Schema.Block(version=0)
    for name, it in block["attributes"].items():
        flags = {flag: it.get(flag, False) for flag in ("required", "optional", "computed")}
        kind = json.dumps(it["type"]).encode()
        out.attributes.append(pb.Schema.Attribute(name=name, type=kind, **flags))
    for name, it in block["blocks"].items():
        nesting = pb.Schema.NestedBlock.NestingMode.Value(it["nesting"].upper())
        limits = {"min_items": it.get("min", 0), "max_items": it.get("max", 0)}
        inner = _message(it["block"])
        out.block_types.append(
            pb.Schema.NestedBlock(type_name=name, block=inner, nesting=nesting, **limits)
        )
    return out


def _children(block: Block, value: dict[str, Any]) -> Iterator[tuple[Path, Block, Any]]:
    """Every nested block that is there. Elements of sets cannot be pointed at."""
    for name, it in block["blocks"].items():
        found = value.get(name)
        for place, element in enumerate(found if isinstance(found, list) else []):
            yield (name, place) if it["nesting"] == "list" else (name,), it["block"], element


def _not_allowed(block: Block, value: Any, at: Path = ()) -> Iterator[tuple[Path, str]]:  # noqa: ANN401
    if not isinstance(value, dict):
        return
    for name, it in block["attributes"].items():
        given, allowed = value.get(name), it.get("values")
        if allowed and isinstance(given, str) and given not in {"", *allowed}:
            yield (*at, name), f"expected {name} to be one of {allowed}, got {given!r}"
    for place, inner, element in _children(block, value):
        yield from _not_allowed(inner, element, (*at, *place))


def _with_computed(
    block: Block,
    value: Any,  # noqa: ANN401 - whatever a resource holds
    compute: Callable[[str, Any, Any], Any],
) -> Any:  # noqa: ANN401
    """The value of a block, each computed argument as `compute(name, type, present)` gives it."""
    if not isinstance(value, dict):
        return value
    out = dict(value)
    for name, it in block["attributes"].items():
        if it.get("computed"):
            out[name] = compute(name, it["type"], value.get(name))
    for name, it in block["blocks"].items():
        if isinstance(value.get(name), list):
            out[name] = [_with_computed(it["block"], one, compute) for one in value[name]]
    return out


def _decoded(value: Any) -> Any:  # noqa: ANN401
    if not value.msgpack:
        return None
    return msgpack.unpackb(value.msgpack, raw=False, strict_map_key=False)


def _encoded(value: Any) -> Any:  # noqa: ANN401
    return pb.DynamicValue(msgpack=msgpack.packb(value))


def _path(steps: Path) -> Any:  # noqa: ANN401
    return pb.AttributePath(
        steps=[
            pb.AttributePath.Step(element_key_int=step)
            if isinstance(step, int)
            else pb.AttributePath.Step(attribute_name=step)
            for step in steps
        ]
    )


class StandIn:
    """Answers what Terraform asks a provider."""

    def __init__(self, schema: Mapping[str, Block]) -> None:
        self._schema = schema

    def answers(self) -> dict[str, Callable[[Any, Any], Any]]:
        """By the protocol's names."""
        return {
            "GetProviderSchema": self._describe,
            "ValidateProviderConfig": lambda *_: pb.ValidateProviderConfig.Response(),
            "ConfigureProvider": lambda *_: pb.ConfigureProvider.Response(),
            "ValidateResourceConfig": self._validate,
            "UpgradeResourceState": self._upgrade,
            "ReadResource": self._read,
            "PlanResourceChange": self._plan,
            "ApplyResourceChange": self._apply,
            "StopProvider": lambda *_: pb.StopProvider.Response(),
        }

    def _describe(self, *_: object) -> Any:  # noqa: ANN401
        answer = pb.GetProviderSchema.Response(provider=pb.Schema(block=_message(_PROVIDER)))
        for name, block in self._schema.items():
            answer.resource_schemas[name].CopyFrom(pb.Schema(version=0, block=_message(block)))
        return answer

    def _validate(self, request: Any, _: object) -> Any:  # noqa: ANN401
        faults = _not_allowed(self._schema[request.type_name], _decoded(request.config))
        return pb.ValidateResourceConfig.Response(
            diagnostics=[
                pb.Diagnostic(severity=pb.Diagnostic.ERROR, summary=said, attribute=_path(at))
                for at, said in faults
            ]
        )

    def _upgrade(self, request: Any, _: object) -> Any:  # noqa: ANN401
        state = pb.DynamicValue(json=request.raw_state.json)
        return pb.UpgradeResourceState.Response(upgraded_state=state)

    def _read(self, request: Any, _: object) -> Any:  # noqa: ANN401
        return pb.ReadResource.Response(new_state=request.current_state)

    def _plan(self, request: Any, _: object) -> Any:  # noqa: ANN401
        planned = _decoded(request.proposed_new_state)
        if _decoded(request.prior_state) is None:
            planned = _with_computed(
                self._schema[request.type_name],
                planned,
                lambda _name, _type, present: _UNKNOWN if present is None else present,
            )
        return pb.PlanResourceChange.Response(planned_state=_encoded(planned))

    def _apply(self, request: Any, _: object) -> Any:  # noqa: ANN401
        planned = _decoded(request.planned_state)

        def made_up(name: str, kind: Any, present: Any) -> Any:  # noqa: ANN401
            if not isinstance(present, msgpack.ExtType):
                return present
            return _MADE_UP.get(
                kind if isinstance(kind, str) else kind[0], f"{request.type_name}/{name}"
            )

        state = _with_computed(self._schema[request.type_name], planned, made_up)
        return pb.ApplyResourceChange.Response(new_state=_encoded(state))


def main(socket: str) -> None:
    """Serve on a socket until SIGTERM."""
    servicer = tfplugin_pb2_grpc.ProviderServicer()
    for name, answer in StandIn(read_schema()).answers().items():
        setattr(servicer, name, answer)
    server = grpc.server(ThreadPoolExecutor(4))
    tfplugin_pb2_grpc.add_ProviderServicer_to_server(servicer, server)
    server.add_insecure_port(f"unix://{socket}")
    signal.signal(signal.SIGTERM, lambda *_: server.stop(0))
    server.start()
    address = {"Network": "unix", "String": socket}
    process = {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True}
    print(json.dumps({_SOURCE: {**process, "Addr": address}}), flush=True)  # noqa: T201
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1])
