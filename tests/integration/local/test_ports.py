"""Ports of the stack: free, or told with the setting that chooses another."""

import socket
from collections.abc import Iterator

import pytest

from authz_service.errors import ConfigurationError, StackError
from authz_service.local.ports import LOOPBACK, claim
from authz_service.local.stack import _port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        yield int(other.getsockname()[1])


def test_a_taken_port_names_its_setting(taken: int) -> None:
    """The message says which port, what for, and how to choose another."""
    with pytest.raises(StackError) as caught:
        claim(taken, purpose="Envoy's public door", setting="PORT")
    expected = f"port {taken} for Envoy's public door is taken: choose another with PORT=PORT"
    assert str(caught.value) == expected


def test_zero_is_a_free_port() -> None:
    """0 asks the system for a port, and each is another one that can be had."""
    port = claim(0, purpose="a test", setting="PORT")
    assert port > 0
    assert claim(port, purpose="a test", setting="PORT") == port


@pytest.mark.parametrize("text", ["http", "-1", "65536", "80.5", " 80", "\u0668\u0660"])
def test_what_is_no_port_is_a_configuration_error(text: str) -> None:
    """A setting that is no port number is told with its value."""
    with pytest.raises(ConfigurationError) as caught:
        _port({"PORT": text}, "PORT", 8000, "a test")
    assert caught.value.problems == (f"PORT: {text!r} is no port; write 0 for a free one",)
