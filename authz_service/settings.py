"""The service's settings: one frozen object, built once from a mapping of variables.

Every problem is told at once; secrets never appear in a message or a `repr`.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from authz_service.addresses import HostAndPort, run_folder
from authz_service.core.descriptors import Algorithm
from authz_service.errors import ConfigurationError
from authz_service.setting_types import (
    AdminToken,
    ClientNameList,
    Destination,
    EnvoyHost,
    ExistingFile,
    ExistingFolder,
    HeaderNameList,
    ListenAddresses,
    ListenPlace,
    Port,
    ProjectId,
    Secret,
    Share,
)
from authz_service.tracing_settings import TracingSettings


class GrpcServer(StrEnum):
    """Which gRPC implementation serves."""

    NATIVE = "native"
    GRPCIO = "grpcio"


class Settings(TracingSettings):
    """Everything the environment decides. The policy file decides the rest."""

    policy_file: ExistingFile | None = Field(
        default=None,
        alias="AUTHZ_POLICY_FILE",
        description="The policy to enforce; required where `AUTHZ_RATELIMIT_DIR` is not set.",
    )
    keys_file: ExistingFile | None = Field(
        default=None,
        alias="AUTHZ_KEYS_FILE",
        description="API keys in a file, beside those of `API_KEYS`; followed as it changes.",
    )
    pepper_file: ExistingFile | None = Field(
        default=None,
        alias="AUTHZ_PEPPER_FILE",
        description="Peppers for the digests of keys, one a line, the one in use first;"
        " followed as it changes.",
    )
    keys_max_stale_seconds: Annotated[float, Field(ge=2, le=86_400)] = Field(
        default=600,
        alias="AUTHZ_KEYS_MAX_STALE_SECONDS",
        description="How long keys of the key store go on while it cannot be read.",
    )
    run_dir: Annotated[Path, AfterValidator(run_folder)] = Field(
        default=Path("run"),
        alias="AUTHZ_RUN_DIR",
        validate_default=True,
        description="Where sockets and Envoy's configuration are written.",
    )
    workers: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, alias="AUTHZ_WORKERS", description="How many processes answer checks."
    )
    grpc_listen: ListenAddresses | None = Field(
        default=None,
        alias="AUTHZ_GRPC_LISTEN",
        description="`unix:PATH` for each worker, comma-separated, or one `IP:PORT`;"
        " unset: `authz-N.sock` in the run folder.",
    )
    grpc_server: GrpcServer = Field(
        default=GrpcServer.NATIVE,
        alias="AUTHZ_GRPC_SERVER",
        description="`native` or `grpcio`: which gRPC implementation serves.",
    )
    tls_cert_file: Path | None = Field(
        default=None,
        alias="AUTHZ_TLS_CERT_FILE",
        description="The certificate of `AUTHZ_GRPC_LISTEN`'s TCP addresses, with those between it"
        " and its authority, in PEM; followed as it changes. Unset: no TLS.",
    )
    tls_key_file: Path | None = Field(
        default=None, alias="AUTHZ_TLS_KEY_FILE", description="Its private key, in PEM."
    )
    tls_client_ca_file: Path | None = Field(
        default=None,
        alias="AUTHZ_TLS_CLIENT_CA_FILE",
        description="The authorities of clients, in PEM. Set: only clients with a certificate of"
        " theirs may ask.",
    )
    tls_client_names: ClientNameList | None = Field(
        default=None,
        alias="AUTHZ_TLS_CLIENT_NAMES",
        description="Which of these may ask, comma-separated: SPIFFE ids or DNS names, as their"
        " certificates have them; unset: all.",
    )
    drain_seconds: Annotated[float, Field(ge=0, le=600)] = Field(
        default=2.5,
        alias="AUTHZ_DRAIN_SECONDS",
        description="How long what is stopped goes on answering: a worker, as Envoy needs 2 s to"
        " notice, and with `drain` Envoy.",
    )
    public_host: EnvoyHost = Field(
        default="0.0.0.0",
        alias="AUTHZ_PUBLIC_HOST",
        description="The IP address of Envoy's public door.",
    )
    public_port: Port = Field(default=8000, alias="PORT", description="Its port.")
    upstream: Destination | None = Field(
        default=None,
        alias="AUTHZ_UPSTREAM",
        description="`HOST:PORT` of the application, in place of the policy's.",
    )
    scrape_host: EnvoyHost = Field(
        default="0.0.0.0",
        alias="AUTHZ_SCRAPE_HOST",
        description="The IP address where Envoy answers `/metrics` and `/ready`.",
    )
    scrape_port: Port = Field(default=9901, alias="AUTHZ_SCRAPE_PORT", description="Its port.")
    operations_listen: ListenPlace = Field(
        default=HostAndPort("0.0.0.0", 9102),
        alias="AUTHZ_OPERATIONS_LISTEN",
        description="Where the service answers `/metrics`, `/healthz` and `/readyz`.",
    )
    public_metrics: Destination | None = Field(
        default=None,
        alias="AUTHZ_PUBLIC_METRICS",
        description="`HOST:PORT` whose `/metrics` the public door shows, for one machine only.",
    )
    api_keys: SecretStr = Field(
        default=SecretStr(""), alias="API_KEYS", description="The API keys, a JSON list."
    )
    jwt_secret: Secret = Field(
        default=SecretStr(""),
        alias="JWT_SECRET",
        description="Tokens signed with it (HS256) are accepted; 32 bytes or more.",
    )
    keys_url: SecretStr = Field(
        default=SecretStr(""),
        alias="AUTHZ_KEYS_URL",
        description="The key store, a Redis or Valkey; unset: none.",
    )
    store_url: SecretStr = Field(
        default=SecretStr("memory://"),
        alias="REDIS_URL",
        description="Where counters live; unset: in this process's memory.",
    )
    replicas: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None,
        alias="AUTHZ_REPLICAS",
        description="How many of these services share the store. Set: while it is away, each worker"
        " admits its part of a limit, not all of it.",
    )
    ratelimit_dir: ExistingFolder | None = Field(
        default=None,
        alias="AUTHZ_RATELIMIT_DIR",
        description="A folder of rate limit files by descriptor; followed as they change.",
    )
    ratelimit_algorithm: Algorithm = Field(
        default=Algorithm.EXACT,
        alias="AUTHZ_RATELIMIT_ALGORITHM",
        description="`exact` or `fixed`: how files count that do not say.",
    )
    ratelimit_merge_domains: bool = Field(
        default=False,
        alias="AUTHZ_RATELIMIT_MERGE_DOMAINS",
        description="Whether several files may describe one domain.",
    )
    ratelimit_shadow: bool = Field(
        default=False,
        alias="AUTHZ_RATELIMIT_SHADOW",
        description="Whether no descriptor refuses anything.",
    )
    ratelimit_quota: bool = Field(
        default=False,
        alias="AUTHZ_RATELIMIT_QUOTA",
        description="Whether every descriptor is one with `quota_mode`.",
    )
    ratelimit_headers: HeaderNameList | None = Field(
        default=None,
        alias="AUTHZ_RATELIMIT_HEADERS",
        description="The names of three response headers, comma-separated, for limit, remaining and"
        " reset; unset: none are sent.",
    )
    ratelimit_metadata: bool = Field(
        default=False,
        alias="AUTHZ_RATELIMIT_METADATA",
        description="Whether answers carry dynamic metadata.",
    )
    ratelimit_near: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.8,
        alias="AUTHZ_RATELIMIT_NEAR",
        description="The part of a limit above which metrics call it near.",
    )
    ratelimit_json: bool = Field(
        default=False,
        alias="AUTHZ_RATELIMIT_JSON",
        description="Whether `POST /json` of the operations port is answered, and counts.",
    )
    admin_token: AdminToken = Field(
        default=SecretStr(""),
        alias="AUTHZ_ADMIN_TOKEN",
        description="Set: the admin API answers whoever sends this; 32 characters or more.",
    )
    admin_listen: ListenPlace = Field(
        default=HostAndPort("127.0.0.1", 9104),
        alias="AUTHZ_ADMIN_LISTEN",
        description="Where the admin API listens, without TLS: leave it on this machine.",
    )
    google_cloud_project: ProjectId | None = Field(
        default=None,
        alias="GOOGLE_CLOUD_PROJECT",
        description="Set: log lines carry Cloud Trace names of this project.",
    )
    decision_log_denials: Share = Field(
        default=1, alias="AUTHZ_DECISION_LOG_DENIALS", description="Part of denials logged, 0 to 1."
    )
    decision_log_allows: Share = Field(
        default=0, alias="AUTHZ_DECISION_LOG_ALLOWS", description="Part of allows logged, 0 to 1."
    )
    debug: bool = Field(
        default=False, alias="DEBUG", description="Readable log lines in place of JSON."
    )

    @property
    def listen_addresses(self) -> tuple[str, ...]:
        """Where each worker listens."""
        return self.sockets if self.grpc_listen is None else self.grpc_listen

    @property
    def sockets(self) -> tuple[str, ...]:
        """The place of each worker in the run folder."""
        return tuple(
            f"unix:{self.run_dir / f'authz-{index}.sock'}" for index in range(self.workers)
        )

    @property
    def has_tls(self) -> bool:
        """Whether TCP addresses are asked by TLS."""
        return self.tls_cert_file is not None

    @property
    def counts_in_memory(self) -> bool:
        """Whether counters live in the worker's own memory."""
        return self.store_url.get_secret_value().startswith("memory:")

    @property
    def processes_sharing_limits(self) -> int:
        """How many processes divide the limits among them while the store is away; 1: none do."""
        return 1 if self.replicas is None else self.replicas * self.workers

    @property
    def has_admin_api(self) -> bool:
        """Whether anybody may manage the service over HTTP."""
        return bool(self.admin_token.get_secret_value())

    @property
    def has_key_store(self) -> bool:
        """Whether keys are kept in a store."""
        return bool(self.keys_url.get_secret_value())

    @property
    def _keys(self) -> list[str]:
        """The variables that are set so that somebody is let in."""
        given = {
            "API_KEYS": self.api_keys.get_secret_value(),
            "AUTHZ_KEYS_FILE": self.keys_file,
            "AUTHZ_KEYS_URL": self.keys_url.get_secret_value(),
            "JWT_SECRET": self.jwt_secret.get_secret_value(),
        }
        return [name for name, value in given.items() if value]

    def _tls_problems(self) -> list[str]:
        """What of TLS does not fit together, or not with the server and where it listens."""
        problems = []
        if self.has_tls and self.grpc_server is GrpcServer.NATIVE:
            problems.append("AUTHZ_GRPC_SERVER: must be grpcio with AUTHZ_TLS_CERT_FILE")
        if self.has_tls and self.tls_key_file is None:
            problems.append("AUTHZ_TLS_KEY_FILE: is required with AUTHZ_TLS_CERT_FILE")
        if self.has_tls and all(address.startswith("unix:") for address in self.listen_addresses):
            problems.append(
                "AUTHZ_GRPC_LISTEN: has no IP:PORT that AUTHZ_TLS_CERT_FILE could be for"
            )
        if not self.has_tls:
            given = {
                "AUTHZ_TLS_KEY_FILE": self.tls_key_file,
                "AUTHZ_TLS_CLIENT_CA_FILE": self.tls_client_ca_file,
            }
            problems += [
                f"{name}: means nothing without AUTHZ_TLS_CERT_FILE"
                for name, value in given.items()
                if value is not None
            ]
        if self.tls_client_names is not None and self.tls_client_ca_file is None:
            problems.append("AUTHZ_TLS_CLIENT_CA_FILE: is required with AUTHZ_TLS_CLIENT_NAMES")
        return problems

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = self._tls_problems()
        if len(self.listen_addresses) != self.workers:
            problems.append(
                f"AUTHZ_GRPC_LISTEN: names {len(self.listen_addresses)} addresses"
                f" for {self.workers} workers (AUTHZ_WORKERS)"
            )
        if len(set(self.listen_addresses)) < len(self.listen_addresses):
            problems.append("AUTHZ_GRPC_LISTEN: names an address twice")
        if self.workers > 1 and self.counts_in_memory:
            problems.append("REDIS_URL: is required for more than one worker (AUTHZ_WORKERS)")
        if self.has_admin_api and not self.has_key_store and self.ratelimit_dir is None:
            problems.append("AUTHZ_KEYS_URL: is required for the admin API (AUTHZ_ADMIN_TOKEN)")
        if self.policy_file is None:
            problems += [f"{name}: lets nobody in without AUTHZ_POLICY_FILE" for name in self._keys]
        if problems:
            raise ValueError("\n".join(problems))
        return self


# The collector's has no password; one that was written there all the same is nobody's to read.
_NEVER_SHOWN = {"OTEL_EXPORTER_OTLP_ENDPOINT"} | {
    str(field.alias) for field in Settings.model_fields.values() if field.annotation is SecretStr
}


def load_settings(
    environment: Mapping[str, str], *, only: Collection[str] | None = None
) -> Settings:
    """Settings from environment variables; a variable set to nothing counts as unset.

    `only` names those that matter to who does not serve: nothing else is looked at, or required.

    Raises:
        ConfigurationError: naming every variable that is missing or wrong.
    """
    known = {str(field.alias) for field in Settings.model_fields.values()}
    names = known if only is None else only
    given = {name: value for name, value in environment.items() if name in names and value}
    problems = []
    if only is None and given.keys().isdisjoint({"AUTHZ_POLICY_FILE", "AUTHZ_RATELIMIT_DIR"}):
        problems.append("AUTHZ_POLICY_FILE: is required where AUTHZ_RATELIMIT_DIR is not set")
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        problems += [line for it in error.errors() for line in _problem(it).splitlines()]
        raise ConfigurationError(problems) from None
    if problems:
        raise ConfigurationError(problems)
    return settings


def _problem(details: Mapping[str, object]) -> str:
    """One line for one wrong variable; of a secret only its name."""
    location = details["loc"]
    if not location:  # a rule that spans several variables names them itself
        return str(details["msg"]).removeprefix("Value error, ")
    (name,) = location if isinstance(location, tuple) else ("",)
    sentence = str(details["msg"]).removeprefix("Value error, ").replace("Input should", "should")
    if name in _NEVER_SHOWN:
        return f"{name}: {sentence}"
    return f"{name}: {str(details['input'])!r} {sentence}"
