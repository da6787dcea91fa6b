"""The service's settings: one frozen object, built once from a mapping of variables.

Every problem is told at once; secrets never appear in a message or a `repr`.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from authz_service.errors import ConfigurationError

_MAX_PORT = 65_535


class GrpcServer(StrEnum):
    """Which gRPC implementation serves."""

    NATIVE = "native"
    GRPCIO = "grpcio"


def _existing_file(path: Path) -> Path:
    try:
        is_file = path.is_file()
    except OSError as error:
        raise ValueError(f"is no file: {error.strerror}") from None
    if not is_file:
        raise ValueError("is no file")
    return path


def _listen_address(address: str) -> str:
    if address.startswith("unix:") and address != "unix:":
        return address
    try:
        return _host_and_port(address)
    except ValueError:
        raise ValueError("is neither unix:PATH nor HOST:PORT") from None


def _host_and_port(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and int(port) <= _MAX_PORT):
        raise ValueError("is not HOST:PORT")
    return address


Port = Annotated[int, Field(ge=0, le=_MAX_PORT)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]


class Settings(BaseModel):
    """Everything the environment decides. The policy file decides the rest."""

    model_config = ConfigDict(frozen=True)

    policy_file: Annotated[Path, AfterValidator(_existing_file)] = Field(
        alias="AUTHZ_POLICY_FILE", description="The policy to enforce."
    )
    run_dir: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default=Path("run"),
        alias="AUTHZ_RUN_DIR",
        validate_default=True,
        description="Where sockets and Envoy's configuration are written.",
    )
    grpc_listen: ListenAddress | None = Field(
        default=None,
        alias="AUTHZ_GRPC_LISTEN",
        description="`unix:PATH` or `HOST:PORT`; unset: `authz-0.sock` in the run folder.",
    )
    grpc_server: GrpcServer = Field(
        default=GrpcServer.NATIVE,
        alias="AUTHZ_GRPC_SERVER",
        description="`native` or `grpcio`: which gRPC implementation serves.",
    )
    public_host: str = Field(
        default="0.0.0.0", alias="AUTHZ_PUBLIC_HOST", description="Where Envoy's public door is."
    )
    public_port: Port = Field(default=8000, alias="PORT", description="Its port.")
    upstream: Annotated[str, AfterValidator(_host_and_port)] | None = Field(
        default=None,
        alias="AUTHZ_UPSTREAM",
        description="`HOST:PORT` of the application, in place of the policy's.",
    )
    scrape_host: str = Field(
        default="0.0.0.0",
        alias="AUTHZ_SCRAPE_HOST",
        description="Where Envoy answers `/metrics` and `/ready`.",
    )
    scrape_port: Port = Field(default=9901, alias="AUTHZ_SCRAPE_PORT", description="Its port.")
    api_keys: SecretStr = Field(
        default=SecretStr(""), alias="API_KEYS", description="The API keys, a JSON list."
    )
    store_url: SecretStr = Field(
        default=SecretStr("memory://"),
        alias="REDIS_URL",
        description="Where counters live; unset: in this process's memory.",
    )
    google_cloud_project: str | None = Field(
        default=None,
        alias="GOOGLE_CLOUD_PROJECT",
        description="Set: log lines carry Cloud Trace names of this project.",
    )
    debug: bool = Field(
        default=False, alias="DEBUG", description="Readable log lines in place of JSON."
    )

    @property
    def listen_address(self) -> str:
        """Where the worker listens."""
        return self.grpc_listen or f"unix:{self.run_dir / 'authz-0.sock'}"


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables; a variable set to nothing counts as unset.

    Raises:
        ConfigurationError: naming every variable that is missing or wrong.
    """
    names = {field.alias for field in Settings.model_fields.values()}
    given = {name: value for name, value in environment.items() if name in names and value}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        raise ConfigurationError([_problem(details) for details in error.errors()]) from None


def _problem(details: Mapping[str, object]) -> str:
    """One line for one wrong variable. Secrets cannot be wrong here, so no value is secret."""
    (name,) = details["loc"] if isinstance(details["loc"], tuple) else ("",)
    if details["type"] == "missing":
        return f"{name}: is required"
    sentence = str(details["msg"]).removeprefix("Value error, ").replace("Input should", "should")
    return f"{name}: {str(details['input'])!r} {sentence}"
