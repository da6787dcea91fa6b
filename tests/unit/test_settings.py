"""Settings: every problem at once, nothing secret in sight."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from authz_service.errors import ConfigurationError
from authz_service.settings import GrpcServer, Settings, load_settings
from authz_service.testing.builders import PlantedSecrets


@pytest.fixture
def policy_file(tmp_path: Path) -> str:
    """A file that exists, which is all that settings ask of a policy."""
    file = tmp_path / "policy.yaml"
    file.touch()
    return str(file)


def problems(environment: dict[str, str]) -> tuple[str, ...]:
    """What is wrong with these variables."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environment)
    return caught.value.problems


def test_only_the_policy_is_required() -> None:
    """An empty environment lacks exactly one thing."""
    assert problems({}) == ("AUTHZ_POLICY_FILE: is required",)


def test_everything_else_has_a_default(policy_file: str) -> None:
    """With a policy alone a worker counts in memory and listens in the run folder."""
    settings = load_settings({"AUTHZ_POLICY_FILE": policy_file})
    assert settings.policy_file == Path(policy_file)
    assert settings.run_dir == Path("run").absolute()
    assert settings.workers == 1
    assert settings.listen_addresses == (f"unix:{Path('run').absolute()}/authz-0.sock",)
    assert settings.operations_listen == "0.0.0.0:9102"
    assert settings.grpc_server is GrpcServer.NATIVE
    assert (settings.public_host, settings.public_port) == ("0.0.0.0", 8000)
    assert (settings.scrape_host, settings.scrape_port) == ("0.0.0.0", 9901)
    assert settings.upstream is None
    assert settings.api_keys.get_secret_value() == ""
    assert settings.store_url.get_secret_value() == "memory://"
    assert settings.google_cloud_project is None
    assert settings.debug is False


def test_every_variable_has_its_effect(policy_file: str) -> None:
    """Each variable ends up in its field; the ones that are not ours are passed over."""
    settings = load_settings(
        {
            "AUTHZ_POLICY_FILE": policy_file,
            "AUTHZ_RUN_DIR": "/run/authz",
            "AUTHZ_GRPC_LISTEN": "127.0.0.1:9000",
            "AUTHZ_GRPC_SERVER": "grpcio",
            "AUTHZ_PUBLIC_HOST": "127.0.0.1",
            "PORT": "80",
            "AUTHZ_UPSTREAM": "app:8080",
            "AUTHZ_SCRAPE_HOST": "::1",
            "AUTHZ_SCRAPE_PORT": "0",
            "API_KEYS": "[]",
            "REDIS_URL": "redis://store:6379",
            "GOOGLE_CLOUD_PROJECT": "project-1",
            "DEBUG": "true",
            "PATH": "/usr/bin",
        }
    )
    assert settings.run_dir == Path("/run/authz")
    assert settings.listen_addresses == ("127.0.0.1:9000",)
    assert settings.grpc_server is GrpcServer.GRPCIO
    assert (settings.public_host, settings.public_port) == ("127.0.0.1", 80)
    assert settings.upstream == "app:8080"
    assert (settings.scrape_host, settings.scrape_port) == ("::1", 0)
    assert settings.api_keys.get_secret_value() == "[]"
    assert settings.store_url.get_secret_value() == "redis://store:6379"
    assert settings.google_cloud_project == "project-1"
    assert settings.debug is True


def test_a_variable_set_to_nothing_is_unset(policy_file: str) -> None:
    """Empty variables, as container platforms leave them, mean the default."""
    names = [str(field.alias) for field in Settings.model_fields.values()]
    empty = dict.fromkeys(names, "") | {"AUTHZ_POLICY_FILE": policy_file}
    assert load_settings(empty) == load_settings({"AUTHZ_POLICY_FILE": policy_file})


def test_every_wrong_variable_is_told_at_once() -> None:
    """One start, all problems: each names its variable, its value and the rule."""
    assert problems(
        {
            "AUTHZ_POLICY_FILE": "/nowhere/policy.yaml",
            "AUTHZ_GRPC_LISTEN": "unix:",
            "AUTHZ_GRPC_SERVER": "twisted",
            "PORT": "http",
            "AUTHZ_UPSTREAM": "app",
            "AUTHZ_SCRAPE_PORT": "65536",
            "DEBUG": "perhaps",
        }
    ) == (
        "AUTHZ_POLICY_FILE: '/nowhere/policy.yaml' is no file",
        "AUTHZ_GRPC_LISTEN: 'unix:' is neither unix:PATH nor HOST:PORT",
        "AUTHZ_GRPC_SERVER: 'twisted' should be 'native' or 'grpcio'",
        ("PORT: 'http' should be a valid integer, unable to parse string as an integer"),
        "AUTHZ_UPSTREAM: 'app' is not HOST:PORT",
        "AUTHZ_SCRAPE_PORT: '65536' should be less than or equal to 65535",
        ("DEBUG: 'perhaps' should be a valid boolean, unable to interpret input"),
    )


@pytest.mark.parametrize("path", ["/" + "x" * 300, ".", "/dev/null"])
def test_a_policy_that_is_no_file_is_a_problem(path: str) -> None:
    """A folder, a device or a name too long is told like any other wrong value."""
    (problem,) = problems({"AUTHZ_POLICY_FILE": path})
    assert "is no file" in problem


@pytest.mark.parametrize(
    "address",
    ["8080", "host:", ":80", "host:port", "host:65536", "host:-1", "host:\uff18\uff10"],
)
def test_an_upstream_needs_host_and_port(policy_file: str, address: str) -> None:
    """Both halves of an address are needed, and the port is a decimal number."""
    environment = {"AUTHZ_POLICY_FILE": policy_file, "AUTHZ_UPSTREAM": address}
    assert problems(environment) == (f"AUTHZ_UPSTREAM: {address!r} is not HOST:PORT",)


def test_secrets_are_masked(policy_file: str, planted_secrets: PlantedSecrets) -> None:
    """Neither representation nor serialisation of settings gives a secret away."""
    settings = load_settings(
        {
            "AUTHZ_POLICY_FILE": policy_file,
            "API_KEYS": f'[{{"key": "{planted_secrets.api_key}"}}]',
            "REDIS_URL": f"redis://:{planted_secrets.password}@store",
        }
    )
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert planted_secrets.found_in(shown) == []


def test_problems_never_show_a_secret(planted_secrets: PlantedSecrets) -> None:
    """Whatever else is wrong, the secrets of the environment stay out of the message."""
    environment = {"API_KEYS": planted_secrets.api_key, "REDIS_URL": planted_secrets.password}
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environment | {"PORT": "x"})
    assert planted_secrets.found_in(f"{caught.value!r}") == []


def test_settings_cannot_be_changed(policy_file: str) -> None:
    """Settings are one frozen object."""
    settings = load_settings({"AUTHZ_POLICY_FILE": policy_file})
    with pytest.raises(ValidationError, match="frozen"):
        settings.debug = True  # type: ignore[misc]  # the point of the test


def test_each_worker_has_a_socket_of_its_own(policy_file: str) -> None:
    """By number in the run folder, or as listed."""
    base = {"AUTHZ_POLICY_FILE": policy_file, "AUTHZ_WORKERS": "2", "REDIS_URL": "redis://store"}

    by_number = load_settings(base | {"AUTHZ_RUN_DIR": "/run/authz"})
    as_listed = load_settings(base | {"AUTHZ_GRPC_LISTEN": "unix:/a,unix:/b"})

    assert by_number.listen_addresses == (
        "unix:/run/authz/authz-0.sock",
        "unix:/run/authz/authz-1.sock",
    )
    assert as_listed.listen_addresses == ("unix:/a", "unix:/b")


def test_several_workers_need_addresses_and_a_store_they_share(policy_file: str) -> None:
    """Both are told at once."""
    given = {
        "AUTHZ_POLICY_FILE": policy_file,
        "AUTHZ_WORKERS": "3",
        "AUTHZ_GRPC_LISTEN": "unix:/a,unix:/b",
    }
    assert problems(given) == (
        "AUTHZ_GRPC_LISTEN: names 2 addresses for 3 workers (AUTHZ_WORKERS)",
        "REDIS_URL: is required for more than one worker (AUTHZ_WORKERS)",
    )
