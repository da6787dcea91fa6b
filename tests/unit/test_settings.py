"""Settings: every problem at once, nothing secret in sight."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from authz_service.addresses import HostAndPort
from authz_service.envoy_files import admin_socket
from authz_service.errors import ConfigurationError
from authz_service.settings import GrpcServer, Settings, load_settings
from authz_service.testing.builders import PlantedSecrets
from authz_service.worker import metrics_socket
from authz_service.worker_addresses import local_addresses, open_addresses


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


TLS = {
    "AUTHZ_GRPC_SERVER": "grpcio",
    "AUTHZ_GRPC_LISTEN": "0.0.0.0:9101",
    "AUTHZ_TLS_CERT_FILE": "/tls.crt",
    "AUTHZ_TLS_KEY_FILE": "/tls.key",
    "AUTHZ_TLS_CLIENT_CA_FILE": "/ca.crt",
}
NO_POLICY = "AUTHZ_POLICY_FILE: is required where AUTHZ_RATELIMIT_DIR is not set"


def test_only_the_policy_is_required() -> None:
    """An empty environment lacks exactly one thing; with others that are wrong it is told too."""
    assert problems({}) == (NO_POLICY,)
    assert problems({"PORT": "-1"})[0] == NO_POLICY
    assert len(problems({"PORT": "-1"})) == 2


def test_descriptor_files_need_no_policy(tmp_path: Path) -> None:
    """They are enough to start with, and to show them over HTTP."""
    given = {"AUTHZ_RATELIMIT_DIR": str(tmp_path)}
    assert load_settings(given).policy_file is None
    settings = load_settings({**given, "AUTHZ_ADMIN_TOKEN": TOKEN})
    assert (settings.has_admin_api, settings.has_key_store) == (True, False)


def test_keys_without_a_policy_are_a_mistake(tmp_path: Path) -> None:
    """They would let nobody in: whoever set them forgot the policy."""
    keys = tmp_path / "keys.yaml"
    keys.touch()
    given = {
        "API_KEYS": "[]",
        "AUTHZ_KEYS_FILE": str(keys),
        "AUTHZ_KEYS_URL": "redis://store",
        "JWT_SECRET": "j" * 32,
    }
    told = problems({"AUTHZ_RATELIMIT_DIR": str(tmp_path), **given})
    assert told == tuple(f"{name}: lets nobody in without AUTHZ_POLICY_FILE" for name in given)


def test_everything_else_has_a_default(policy_file: str) -> None:
    """With a policy alone a worker counts in memory and listens in the run folder."""
    settings = load_settings({"AUTHZ_POLICY_FILE": policy_file})
    assert settings.policy_file == Path(policy_file)
    assert settings.run_dir == Path("run").absolute()
    assert settings.workers == 1
    assert settings.listen_addresses == (f"unix:{Path('run').absolute()}/authz-0.sock",)
    assert settings.operations_listen == HostAndPort("0.0.0.0", 9102)
    assert settings.grpc_server is GrpcServer.NATIVE
    assert (settings.public_host, settings.public_port) == ("0.0.0.0", 8000)
    assert (settings.scrape_host, settings.scrape_port) == ("0.0.0.0", 9901)
    assert settings.upstream is None
    assert settings.api_keys.get_secret_value() == ""
    assert settings.jwt_secret.get_secret_value() == ""
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
            "JWT_SECRET": "j" * 32,
            "REDIS_URL": "redis://store:6379",
            "AUTHZ_REPLICAS": "3",
            "GOOGLE_CLOUD_PROJECT": "project-1",
            "DEBUG": "true",
            "PATH": "/usr/bin",
        }
    )
    assert settings.run_dir == Path("/run/authz")
    assert settings.listen_addresses == ("127.0.0.1:9000",)
    assert settings.grpc_server is GrpcServer.GRPCIO
    assert (settings.public_host, settings.public_port) == ("127.0.0.1", 80)
    assert settings.upstream == HostAndPort("app", 8080)
    assert (settings.scrape_host, settings.scrape_port) == ("::1", 0)
    assert settings.api_keys.get_secret_value() == "[]"
    assert settings.jwt_secret.get_secret_value() == "j" * 32
    assert settings.store_url.get_secret_value() == "redis://store:6379"
    assert settings.replicas == 3
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
        "AUTHZ_GRPC_LISTEN: 'unix:' holds 'unix:', which is neither unix:PATH nor HOST:PORT",
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
    [
        *("8080", "host:", ":80", "host:port", "host:65536", "host:-1", "host:\uff18\uff10"),
        *("::1:80", "[host]:80", "[127.0.0.1]:80", "[::1:80", "256.0.0.1:80", "a b:80", "a..b:80"),
    ],
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
            "JWT_SECRET": planted_secrets.token,
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


@pytest.mark.parametrize("secret", ["hunter2", "h" * 31, "\udcff" * 40])
def test_a_secret_that_is_too_short_stops_the_start(policy_file: str, secret: str) -> None:
    """It is told by the name of its variable, and never shown."""
    (told,) = problems({"AUTHZ_POLICY_FILE": policy_file, "JWT_SECRET": secret})
    assert told.startswith("JWT_SECRET: ")
    assert secret[:7] not in told
    if secret.isascii():
        assert told == "JWT_SECRET: must be at least 32 bytes long"


def test_the_length_of_a_secret_is_counted_in_bytes(policy_file: str) -> None:
    """Sixteen letters of two bytes each are enough."""
    environment = {"AUTHZ_POLICY_FILE": policy_file, "JWT_SECRET": "ä" * 16}
    assert load_settings(environment).jwt_secret.get_secret_value() == "ä" * 16


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


def test_limits_are_divided_among_the_workers_of_all_replicas(policy_file: str) -> None:
    """Three services of two workers are six processes; of how many is unknown unless it is said."""
    two = {
        "AUTHZ_POLICY_FILE": policy_file,
        "REDIS_URL": "redis://store:6379",
        "AUTHZ_WORKERS": "2",
    }
    assert load_settings(two | {"AUTHZ_REPLICAS": "3"}).processes_sharing_limits == 6
    assert load_settings(two | {"AUTHZ_REPLICAS": "1"}).processes_sharing_limits == 2
    assert load_settings(two).processes_sharing_limits == 1


def test_a_destination_may_be_a_name_or_an_address(policy_file: str) -> None:
    """IPv6 is written with brackets and used without."""
    read = {
        text: load_settings({"AUTHZ_POLICY_FILE": policy_file, "AUTHZ_UPSTREAM": text}).upstream
        for text in ("[::1]:8080", "127.0.0.1:1", "my_app.internal-1:65535")
    }
    assert read == {
        "[::1]:8080": HostAndPort("::1", 8080),
        "127.0.0.1:1": HostAndPort("127.0.0.1", 1),
        "my_app.internal-1:65535": HostAndPort("my_app.internal-1", 65535),
    }
    assert [str(address) for address in read.values()] == [*read]


@pytest.mark.parametrize("name", ["AUTHZ_UPSTREAM", "AUTHZ_PUBLIC_METRICS"])
def test_nobody_is_found_at_port_0(policy_file: str, name: str) -> None:
    """A port that the system chooses can be listened on, not connected to."""
    (problem,) = problems({"AUTHZ_POLICY_FILE": policy_file, name: "app:0"})
    assert problem == f"{name}: 'app:0' has port 0, where nobody can be found"


@pytest.mark.parametrize("name", ["AUTHZ_PUBLIC_HOST", "AUTHZ_SCRAPE_HOST"])
@pytest.mark.parametrize("text", ["localhost", "0.0.0.0:8000", "[::1]:80", "[]", "1.2.3"])
def test_envoy_listens_at_ip_addresses_only(policy_file: str, name: str, text: str) -> None:
    """What Envoy would refuse is a problem of the setting."""
    environment = {"AUTHZ_POLICY_FILE": policy_file, name: text}
    assert problems(environment) == (f"{name}: {text!r} is no IP address",)


def test_brackets_around_an_ip_address_are_left_out(policy_file: str) -> None:
    """Envoy wants hosts without them, the operators' listener too."""
    settings = load_settings(
        {
            "AUTHZ_POLICY_FILE": policy_file,
            "AUTHZ_PUBLIC_HOST": "[::]",
            "AUTHZ_OPERATIONS_LISTEN": "[::1]:0",
        }
    )
    assert settings.public_host == "::"
    assert settings.operations_listen == HostAndPort("::1", 0)


def test_a_relative_socket_is_made_absolute(policy_file: str) -> None:
    """Envoy, which connects to it, may run in another folder."""
    settings = load_settings(
        {"AUTHZ_POLICY_FILE": policy_file, "AUTHZ_GRPC_LISTEN": "unix:rel.sock"}
    )
    assert settings.listen_addresses == (f"unix:{Path('rel.sock').absolute()}",)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("localhost:9000", "names a host; Envoy looks for workers at IP addresses only"),
        ("127.0.0.1:0", "has port 0, where nobody can be found"),
        ("[::1]", "is neither unix:PATH nor HOST:PORT"),
        ("unix:/a%20b", "holds one of % # ?, which the address of a socket cannot"),
    ],
)
def test_a_worker_listens_where_envoy_can_find_it(policy_file: str, address: str, why: str) -> None:
    """Of several addresses the wrong one is named."""
    text = f"unix:/a,{address}"
    assert problems({"AUTHZ_POLICY_FILE": policy_file, "AUTHZ_GRPC_LISTEN": text}) == (
        f"AUTHZ_GRPC_LISTEN: {text!r} holds {address!r}, which {why}",
    )


def test_a_socket_has_at_most_107_bytes(policy_file: str) -> None:
    """As many fit, one more is a problem; bytes count, not characters."""
    longest = "/" + "e" * 106
    base = {"AUTHZ_POLICY_FILE": policy_file}
    assert load_settings(base | {"AUTHZ_GRPC_LISTEN": f"unix:{longest}"}).listen_addresses
    for path in (f"{longest}e", longest.replace("e", "\u00e9", 1)):
        (problem,) = problems(base | {"AUTHZ_GRPC_LISTEN": f"unix:{path}"})
        assert f"is too long: a socket's path has 107 bytes left for {path}" in problem


def test_every_socket_fits_into_the_longest_run_folder(policy_file: str) -> None:
    """What is accepted holds all names; a byte more is a problem of the folder."""
    given = {
        "AUTHZ_POLICY_FILE": policy_file,
        "AUTHZ_WORKERS": "64",
        "REDIS_URL": "redis://store",
        "AUTHZ_RUN_DIR": "/" + "r" * 89,
    }
    settings = load_settings(given)
    sockets = [
        *(address.removeprefix("unix:") for address in settings.listen_addresses),
        str(metrics_socket(63, settings)),
        str(admin_socket(settings)),
    ]
    assert max(map(len, sockets)) == 107

    (problem,) = problems(given | {"AUTHZ_RUN_DIR": "/" + "r" * 90})
    assert problem.startswith("AUTHZ_RUN_DIR: ")
    assert "is too long" in problem


def test_two_workers_cannot_share_an_address(policy_file: str) -> None:
    """Two spellings of one socket are one socket."""
    given = {
        "AUTHZ_POLICY_FILE": policy_file,
        "AUTHZ_WORKERS": "2",
        "REDIS_URL": "redis://store",
        "AUTHZ_GRPC_LISTEN": f"unix:{Path('a').absolute()},unix:a",
    }
    assert problems(given) == ("AUTHZ_GRPC_LISTEN: names an address twice",)


@pytest.mark.parametrize("project", ["my-project-1", "example.com:my-project"])
def test_a_project_id_is_taken(policy_file: str, project: str) -> None:
    """With and without the domain of old."""
    given = {"AUTHZ_POLICY_FILE": policy_file, "GOOGLE_CLOUD_PROJECT": project}
    assert load_settings(given).google_cloud_project == project


@pytest.mark.parametrize("project", ["My-Project", "p", "1234567", "my_project", 'x"%REQ(A)%'])
def test_what_is_no_project_id_is_a_problem(policy_file: str, project: str) -> None:
    """It becomes part of every line of Envoy's log, where it must mean nothing else."""
    assert problems({"AUTHZ_POLICY_FILE": policy_file, "GOOGLE_CLOUD_PROJECT": project}) == (
        f"GOOGLE_CLOUD_PROJECT: {project!r} is no project id, as my-project-1 is",
    )


TOKEN = "canary-" + "t" * 25


@pytest.mark.parametrize(
    "token", ["canary", TOKEN[:-1], f"{TOKEN} x", f"{TOKEN},", f"{TOKEN}ü", TOKEN * 20]
)
def test_an_admin_token_is_long_enough(policy_file: str, token: str) -> None:
    """And fit for a header; a wrong one is told without itself."""
    (told,) = problems({"AUTHZ_POLICY_FILE": policy_file, "AUTHZ_ADMIN_TOKEN": token})
    assert told == "AUTHZ_ADMIN_TOKEN: must be 32 to 512 of A-Z a-z 0-9 . _ ~ + / = -"


def test_the_admin_api_needs_keys_to_manage(policy_file: str) -> None:
    """A token alone stops the start; with a key store there is an API, on this machine alone."""
    given = {"AUTHZ_POLICY_FILE": policy_file, "AUTHZ_ADMIN_TOKEN": TOKEN}
    assert problems(given) == ("AUTHZ_KEYS_URL: is required for the admin API (AUTHZ_ADMIN_TOKEN)",)
    settings = load_settings({**given, "AUTHZ_KEYS_URL": "redis://store"})
    assert settings.has_admin_api
    assert settings.admin_listen == HostAndPort("127.0.0.1", 9104)
    assert TOKEN not in repr(settings) + str(settings)
    assert not load_settings({"AUTHZ_POLICY_FILE": policy_file}).has_admin_api


def test_tls_is_told_whole_or_not_at_all(policy_file: str) -> None:
    """What is missing for it, or means nothing without it, is named; all at once."""
    base = {"AUTHZ_POLICY_FILE": policy_file}
    assert problems(base | {"AUTHZ_TLS_CERT_FILE": "/tls.crt"}) == (
        "AUTHZ_GRPC_SERVER: must be grpcio with AUTHZ_TLS_CERT_FILE",
        "AUTHZ_TLS_KEY_FILE: is required with AUTHZ_TLS_CERT_FILE",
        "AUTHZ_GRPC_LISTEN: has no IP:PORT that AUTHZ_TLS_CERT_FILE could be for",
    )
    names = {"AUTHZ_TLS_CLIENT_NAMES": "gateway.example"}
    assert problems(base | {"AUTHZ_TLS_KEY_FILE": "/tls.key"} | names) == (
        "AUTHZ_TLS_KEY_FILE: means nothing without AUTHZ_TLS_CERT_FILE",
        "AUTHZ_TLS_CLIENT_CA_FILE: is required with AUTHZ_TLS_CLIENT_NAMES",
    )


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("gateway.example", True),
        ("gateway", True),
        ("spiffe://cluster.local/ns/istio-system/sa/gateway", True),
        ("*.example", False),
        ("Gateway.example", False),
        ("spiffe://cluster.local", False),
        ("spiffe://cluster.local/ns//sa", False),
        ("https://gateway.example/", False),
        ("a,", False),
        ("spiffe://d/" + "a" * 2_048, False),
    ],
)
def test_clients_are_named_as_certificates_name_them(
    policy_file: str, name: str, *, is_one: bool
) -> None:
    """A SPIFFE id or a DNS name, whole: a pattern would let in more than somebody meant."""
    given = TLS | {"AUTHZ_POLICY_FILE": policy_file, "AUTHZ_TLS_CLIENT_NAMES": name}
    if is_one:
        assert load_settings(given).tls_client_names == (name,)
    else:
        (told,) = problems(given)
        assert told.startswith("AUTHZ_TLS_CLIENT_NAMES: ")


def test_with_tls_a_worker_has_a_socket_too(policy_file: str) -> None:
    """Others ask by TLS; the supervisor, and an Envoy in the same pod, through the run folder."""
    two = {"AUTHZ_WORKERS": "2", "REDIS_URL": "redis://store", "AUTHZ_RUN_DIR": "/run/authz"}
    listen = {"AUTHZ_GRPC_LISTEN": "0.0.0.0:9101,unix:/second.sock"}
    given = {"AUTHZ_POLICY_FILE": policy_file} | two | listen
    assert local_addresses(load_settings(given | TLS | listen)) == (
        "unix:/run/authz/authz-0.sock",
        "unix:/second.sock",
    )
    assert local_addresses(load_settings(given)) == ("0.0.0.0:9101", "unix:/second.sock")


@pytest.mark.parametrize(
    ("listen", "is_open"),
    [
        ("unix:/a.sock", False),
        ("127.0.0.1:9101", False),
        ("[::1]:9101", False),
        ("0.0.0.0:9101", True),
        ("10.0.0.7:9101", True),
    ],
)
def test_a_port_that_anybody_may_ask_is_noticed(
    policy_file: str, listen: str, *, is_open: bool
) -> None:
    """One that other machines reach, for as long as nobody has to show a certificate."""
    given = {"AUTHZ_POLICY_FILE": policy_file, "AUTHZ_GRPC_LISTEN": listen}
    assert open_addresses(load_settings(given)) == ([listen] if is_open else [])
    if not listen.startswith("unix:"):
        by_tls = load_settings(TLS | given)
        assert open_addresses(by_tls) == []
