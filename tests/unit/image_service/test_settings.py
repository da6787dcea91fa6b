import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_service.errors import ConfigurationError
from image_service.settings import Address, Settings, Url

_QUEUE = "redis://user:planted@store:6379/0"
_NAMES = (
    "IMAGE_LISTEN",
    "IMAGE_OPERATIONS_LISTEN",
    "IMAGE_WORKER_OPERATIONS_LISTEN",
    "IMAGE_QUEUE_URL",
    "IMAGE_FILES_URL",
    "IMAGE_WORKERS",
    "IMAGE_QUEUE_LIMIT",
    "DEBUG",
)
_SECRETS = {"IMAGE_QUEUE_URL", "IMAGE_FILES_URL"}


def test_a_queue_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other setting has a default, and the default listens on loopback."""
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/x")
    settings = Settings.load({"REDIS_URL": _QUEUE})
    assert settings == Settings(
        listen=Address("127.0.0.1", 8080),
        operations_listen=Address("127.0.0.1", 9103),
        worker_operations_listen=Address("127.0.0.1", 9105),
        queue_url=Url(_QUEUE),
        files_url=Url("file:///x/image_service-files"),
        workers=2,
        queue_limit=64,
        traces_go_to=None,
        debug=False,
    )


def test_every_value_is_read() -> None:
    """The environment decides."""
    given = ("[::1]:0", "a:1", "b:2", "unix:///s", "gs://bucket/x", "4", "1", "TRUE")
    values = dict(zip(_NAMES, given, strict=True))
    assert Settings.load({**values, "REDIS_URL": _QUEUE}) == Settings(
        listen=Address("::1", 0),
        operations_listen=Address("a", 1),
        worker_operations_listen=Address("b", 2),
        queue_url=Url("unix:///s"),
        files_url=Url("gs://bucket/x"),
        workers=4,
        queue_limit=1,
        traces_go_to=None,
        debug=True,
    )


def test_all_problems_are_named_at_once() -> None:
    """An operator mends the settings in one go."""
    with pytest.raises(ConfigurationError) as refused:
        Settings.load(dict.fromkeys(_NAMES, "nonsense"))
    assert [problem.partition(":")[0] for problem in refused.value.problems] == list(_NAMES)
    for problem in refused.value.problems:
        assert ("nonsense" in problem) is (problem.partition(":")[0] not in _SECRETS)


def test_there_is_no_service_without_a_queue() -> None:
    """Nothing is kept in a process's memory: that would be lost with it."""
    with pytest.raises(ConfigurationError) as refused:
        Settings.load({})
    assert refused.value.problems == (
        "IMAGE_QUEUE_URL: must be set, or REDIS_URL: jobs are kept there",
    )


def test_addresses_of_stores_are_not_shown() -> None:
    """They may hold passwords: neither their text nor their form says more than the kind."""
    settings = Settings.load({"IMAGE_QUEUE_URL": _QUEUE, "IMAGE_FILES_URL": "s3://planted/planted"})
    shown = f"{settings!r} {settings.queue_url} {settings.files_url}"
    assert "planted" not in shown
    assert "redis://…" in shown
    assert str(Url("file:///srv/files")) == "file:///srv/files"


@pytest.mark.parametrize("name", ["IMAGE_QUEUE_URL", "REDIS_URL", "IMAGE_FILES_URL"])
@pytest.mark.parametrize("url", ["redis://:planted\u2100@h", "s3://:planted@[h"])
def test_an_address_that_no_parser_takes_is_not_shown(name: str, url: str) -> None:
    """The parser quotes what it cannot read, and that may be a password."""
    with pytest.raises(ConfigurationError) as refused:
        Settings.load({"IMAGE_FILES_URL": "s3://bucket", name: url})
    assert "planted" not in str(refused.value.problems)
    assert "must be" in str(refused.value.problems)


@pytest.mark.parametrize("listen", ["8080", ":8080", "host:", "host:65536", "host:-1", "host:٨"])
def test_an_address_has_host_and_port(listen: str) -> None:
    """Anything else is refused before a socket is tried."""
    with pytest.raises(ConfigurationError, match="must be HOST:PORT"):
        Settings.load({"REDIS_URL": _QUEUE, "IMAGE_LISTEN": listen})


@pytest.mark.parametrize("workers", ["0", "65", "-1", "1.5", "", "²"])
def test_the_number_of_workers_is_bounded(workers: str) -> None:
    """No worker and a machine full of them are both mistakes."""
    with pytest.raises(ConfigurationError, match="from 1 to 64"):
        Settings.load({"REDIS_URL": _QUEUE, "IMAGE_WORKERS": workers})


@pytest.mark.parametrize("text", ["127.0.0.1:0", "[::1]:8080", "localhost:65535"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    """The ready line shows what the setting would take."""
    assert str(Settings.load({"REDIS_URL": _QUEUE, "IMAGE_LISTEN": text}).listen) == text


@given(st.dictionaries(st.sampled_from(_NAMES), st.text(max_size=12)))
def test_foreign_values_raise_nothing_else(values: dict[str, str]) -> None:
    """Settings or `ConfigurationError`, whatever stands in the environment."""
    try:
        Settings.load(values)
    except ConfigurationError:
        return
