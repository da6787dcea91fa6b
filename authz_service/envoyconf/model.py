"""What a rendering needs besides the policy, and the names that its parts share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
Object: TypeAlias = Mapping[str, Json]

UPSTREAM_CLUSTER = "upstream"
AUTHZ_CLUSTER = "authz"
ADMIN_CLUSTER = "admin"
METRICS_CLUSTER = "metrics"
COLLECTOR_CLUSTER = "collector"
PUBLIC_LISTENER = "public"
SCRAPE_LISTENER = "scrape"
ROUTE_CONFIGURATION = "public"

BOOTSTRAP_FILE = "bootstrap.yaml"
CLUSTERS_FILE = "cds.yaml"
LISTENERS_FILE = "lds.yaml"
ROUTES_FILE = "rds.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoySettings:
    """Where Envoy listens, whom it asks and where it writes.

    `run_dir` holds the rendered files; Envoy watches it, so it has to be an absolute path that
    both sides see. `authz_sockets` are the paths of the workers' Unix sockets; `HOST:PORT` of one
    that listens on TCP goes too. `upstream_host` and `upstream_port` replace the policy's.
    `metrics_address`, host and port, adds a public `GET /metrics` without authentication: for one
    machine only. `collector`, host and port, is where spans go; without it there are none.
    `trace_sampling` is the part of all requests that has them at most.
    """

    public_host: str
    public_port: int
    scrape_host: str
    scrape_port: int = 9901
    run_dir: Path
    authz_sockets: tuple[str, ...]
    admin_socket: str
    access_log_path: str = "/dev/stdout"
    google_cloud_project: str | None = None
    upstream_host: str | None = None
    upstream_port: int | None = None
    metrics_address: tuple[str, int] | None = None
    collector: tuple[str, int] | None = None
    trace_sampling: float = 1.0


def typed(message: str, **fields: Json) -> Object:
    """An `Any`: the fields of `message`, a full protobuf name, with its type beside them."""
    return {"@type": f"type.googleapis.com/{message}", **fields}


def untyped(message: Object) -> Object:
    """The same message where its type is known from its place, and would be an error."""
    return {name: value for name, value in message.items() if name != "@type"}


def extension(name: str, message: str, **fields: Json) -> Object:
    """A `TypedExtensionConfig`. Envoy finds the extension by its type; the name is for people."""
    return {"name": name, "typed_config": typed(message, **fields)}


def duration(milliseconds: int) -> str:
    """A protobuf `Duration` in its JSON spelling."""
    return f"{milliseconds // 1000}.{milliseconds % 1000:03}s"
