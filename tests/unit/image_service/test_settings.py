import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_service.errors import ConfigurationError
from image_service.settings import Address, Settings

_NAMES = (
    "IMAGE_LISTEN",
    "IMAGE_OPERATIONS_LISTEN",
    "IMAGE_WORKERS",
    "IMAGE_QUEUE_LIMIT",
    "DEBUG",
)


def test_an_empty_environment_is_enough() -> None:
    """Every setting has a default, and the default listens on loopback."""
    settings = Settings.load({})
    assert settings == Settings(
        listen=Address("127.0.0.1", 8080),
        operations_listen=Address("127.0.0.1", 9103),
        workers=2,
        queue_limit=64,
        debug=False,
    )


def test_every_value_is_read() -> None:
    """The environment decides."""
    values = dict(zip(_NAMES, ("[::1]:0", "a:1", "4", "1", "TRUE"), strict=True))
    assert Settings.load(values) == Settings(
        listen=Address("::1", 0),
        operations_listen=Address("a", 1),
        workers=4,
        queue_limit=1,
        debug=True,
    )


def test_all_problems_are_named_at_once() -> None:
    """An operator mends the settings in one go."""
    with pytest.raises(ConfigurationError) as refused:
        Settings.load(dict.fromkeys(_NAMES, "nonsense"))
    assert [problem.partition(":")[0] for problem in refused.value.problems] == list(_NAMES)
    assert all("not 'nonsense'" in problem for problem in refused.value.problems)


@pytest.mark.parametrize("listen", ["8080", ":8080", "host:", "host:65536", "host:-1", "host:٨"])
def test_an_address_has_host_and_port(listen: str) -> None:
    """Anything else is refused before a socket is tried."""
    with pytest.raises(ConfigurationError, match="must be HOST:PORT"):
        Settings.load({"IMAGE_LISTEN": listen})


@pytest.mark.parametrize("workers", ["0", "65", "-1", "1.5", "", "²"])
def test_the_number_of_workers_is_bounded(workers: str) -> None:
    """No worker and a machine full of them are both mistakes."""
    with pytest.raises(ConfigurationError, match="from 1 to 64"):
        Settings.load({"IMAGE_WORKERS": workers})


@pytest.mark.parametrize("text", ["127.0.0.1:0", "[::1]:8080", "localhost:65535"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    """The ready line shows what the setting would take."""
    assert str(Settings.load({"IMAGE_LISTEN": text}).listen) == text


@given(st.dictionaries(st.sampled_from(_NAMES), st.text(max_size=12)))
def test_foreign_values_raise_nothing_else(values: dict[str, str]) -> None:
    """Settings or `ConfigurationError`, whatever stands in the environment."""
    try:
        Settings.load(values)
    except ConfigurationError:
        return
