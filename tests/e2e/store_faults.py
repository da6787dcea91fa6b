"""A store that can be broken in every way that stores break, and the ways."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.conformance.storage.server import VALKEY, Server
from tests.e2e.detour import Detour

_PASSWORD: Final = "the-right-one"
_TINY: Final = 1


class BreakableStore:
    """A Valkey that keeps its data, reached by a name that can lead around it.

    Use it as a context manager. Whoever is connected notices a new way when its connection ends.
    """

    def __init__(self) -> None:
        self.server = Server(VALKEY, password=_PASSWORD, keeps_data=True)
        self._folder = Path(tempfile.mkdtemp(prefix="way-"))
        self._name = self._folder / "s"
        self._detour = Detour(self.server.socket, self._folder / "detour")

    @property
    def url(self) -> str:
        """The address of the store, with the password that it should have."""
        return f"unix://:{_PASSWORD}@{self._name}"

    def lose(self) -> None:
        """The process is killed, and its data are gone."""
        self.server.kill()
        self.server.forget()

    def restart(self) -> None:
        """The process is killed and starts again at once, with its data."""
        self.server.kill()
        self.server.start()

    def restart_empty(self) -> None:
        """The process is killed and starts again at once, without its data."""
        self.lose()
        self.server.start()

    def delay(self, by_s: float) -> None:
        """Replies are late."""
        self._detour.delay_s = by_s
        self._lead_to(self._detour.path)

    def cut(self) -> None:
        """Connections end in the middle of the first reply."""
        self._detour.cuts = True
        self._lead_to(self._detour.path)

    def mend(self) -> None:
        """Replies are whole and in time again, on connections that are there."""
        self._detour.delay_s, self._detour.cuts = 0.0, False

    def fill(self) -> None:
        """No memory is left: writes are refused."""
        self.server.admin.config_set("maxmemory", _TINY)

    def empty(self) -> None:
        """There is memory again."""
        self.server.admin.config_set("maxmemory", 0)

    def change_password(self, password: str = "another-one") -> None:
        """Log-ins fail, and whoever is logged in has to do it again."""
        self.server.admin.config_set("requirepass", password)
        self._end_connections()

    def restore_password(self) -> None:
        """Log-ins succeed."""
        self.change_password(_PASSWORD)

    def lead_straight(self) -> None:
        """No detours: the next connection is one to the server."""
        self._lead_to(Path(self.server.socket))

    def _lead_to(self, socket: Path) -> None:
        """Name another socket. It is done when no connection by the old way is left."""
        if self._name.is_symlink() and self._name.readlink() == socket:
            return
        new = self._folder / "new"
        new.symlink_to(socket)
        new.rename(self._name)
        self._end_connections()

    def _end_connections(self) -> None:
        self.server.admin.client_kill_filter(_type="normal", skipme=True)

    def __enter__(self) -> Self:
        self.server.__enter__()
        self._detour.start()
        self.lead_straight()
        return self

    def __exit__(self, *_: object) -> None:
        self._detour.stop()
        self.server.__exit__()
        shutil.rmtree(self._folder)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a store, and what ends it.

    Without an end it is over at once, and `keeps_counts` says whether the store still knows them.
    """

    strike: Callable[[BreakableStore], None]
    end: Callable[[BreakableStore], None] | None = None
    keeps_counts: bool = True


FAULTS: Final[Mapping[str, Fault]] = {
    "killed": Fault(lambda store: store.server.kill(), lambda store: store.server.start()),
    "lost": Fault(BreakableStore.lose, lambda store: store.server.start(), keeps_counts=False),
    "restarted": Fault(BreakableStore.restart),
    "restarted-empty": Fault(BreakableStore.restart_empty, keeps_counts=False),
    "hanging": Fault(lambda store: store.server.pause(), lambda store: store.server.resume()),
    "slow": Fault(lambda store: store.delay(0.080), BreakableStore.mend),
    "cut-replies": Fault(BreakableStore.cut, BreakableStore.mend),
    "full": Fault(BreakableStore.fill, BreakableStore.empty),
    "other-password": Fault(BreakableStore.change_password, BreakableStore.restore_password),
}
