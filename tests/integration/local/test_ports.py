"""Ports of the stack: free, or told with the setting that chooses another."""

import errno
import socket
from collections.abc import Iterator

import pytest

from authz_service.errors import ConfigurationError, StackError
from authz_service.local.ports import LOOPBACK, claims
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
    with claims() as claim, pytest.raises(StackError) as caught:
        claim(taken, purpose="Envoy's public door", setting="PORT")
    expected = f"port {taken} for Envoy's public door is taken: choose another with PORT=PORT"
    assert str(caught.value) == expected


def test_a_port_that_is_not_ours_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a taken port is called taken. The refusal is made up: as root every port is ours."""

    class Refusing(socket.socket):
        def bind(self, _: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "socket", Refusing)
    with claims() as claim, pytest.raises(StackError) as caught:
        claim(80, purpose="Envoy's public door", setting="PORT")
    assert str(caught.value) == "port 80 for Envoy's public door cannot be used: Permission denied"


def test_free_ports_differ_and_can_be_had_afterwards() -> None:
    """0 asks the system for a port; all are held until the last is known."""
    with claims() as claim:
        ports = [claim(0, purpose="a test", setting="PORT") for _ in range(50)]
    assert len(set(ports)) == 50
    with claims() as claim:
        assert claim(ports[0], purpose="a test", setting="PORT") == ports[0]


def test_one_port_for_two_parts_is_taken() -> None:
    """The second of two settings with one port is told."""
    with claims() as claim:
        port = claim(0, purpose="the first", setting="PORT")
        with pytest.raises(StackError, match=f"port {port} for the second is taken: .*with OTHER="):
            claim(port, purpose="the second", setting="OTHER")


@pytest.mark.parametrize("text", ["http", "-1", "65536", "80.5", " 80", "\u0668\u0660", "9" * 5000])
def test_what_is_no_port_is_a_configuration_error(text: str) -> None:
    """A setting that is no port number is told with its value."""
    with pytest.raises(ConfigurationError) as caught:
        _port(text, "PORT")
    assert caught.value.problems == (f"PORT: {text!r} is no port; write 0 for a free one",)


def test_a_free_port_is_none_that_a_connection_may_leave_from() -> None:
    """Else a connection could take it before its part listens."""
    with claims() as claim:
        ports = {claim(0, purpose="tests", setting="") for _ in range(20)}
    assert len(ports) == 20
    assert max(ports) < 32_768
