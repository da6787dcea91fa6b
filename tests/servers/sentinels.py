"""A real Sentinel set-up for tests to break: a primary, its replica and three sentinels.

The sentinels' files name everybody from the start, so that it is up in a second. A primary that is
gone is replaced in two to five seconds.
"""

import secrets
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from tests.servers.node import HOST, Node, free_ports, until

SERVICE: Final = "counters"
_QUORUM: Final = 2
_WHILE_STARTING_MS: Final = 30_000  # sentinels look for one another once a second


class SentinelServers:
    """Use it as a context manager. Servers and sentinels are named by their ports.

    `whole` undoes everything that a test did to processes; call it before a test that needs all.
    Everything blocks: in a test on an event loop, `asyncio.to_thread` keeps the loop going.
    """

    def __init__(self, *, down_after_ms: int = 1_000) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sentinel-"))
        self._down_after_ms = down_after_ms
        ports = free_ports(5)
        self.servers = ports[:2]
        self.sentinels = ports[2:]
        self._ids = {port: secrets.token_hex(20) for port in self.sentinels}
        self.nodes = {port: self._server(port) for port in self.servers}
        self.nodes |= {port: self._sentinel(port) for port in self.sentinels}

    @property
    def url(self) -> str:
        """The set-up as a store URL, by its three sentinels."""
        places = ",".join(f"{HOST}:{port}" for port in self.sentinels)
        return f"redis+sentinel://{places}/{SERVICE}"

    def primary(self) -> int:
        """The server that the sentinels name now."""
        sentinels = (self.nodes[port] for port in self.sentinels)
        return self._named_by(next(node for node in sentinels if node.is_going))

    def other(self, server: int) -> int:
        """The other of the two servers."""
        (other,) = set(self.servers) - {server}
        return other

    def kill(self, port: int) -> None:
        """End a process at once (SIGKILL)."""
        self.nodes[port].kill()

    def pause(self, port: int) -> None:
        """Make a process hang (SIGSTOP): its sockets stay open."""
        self.nodes[port].pause()

    def resume(self, port: int) -> None:
        """Let a paused process go on; sentinels make a replica of an old primary, in seconds."""
        self.nodes[port].resume()

    def restart(self, port: int) -> None:
        """Start a process that was killed, a server as the replica of the present primary."""
        node = self.nodes[port]
        node.start()
        until(node.answers, f"answer of {port}")
        if port in self.servers:
            self._follow(port)

    def failover(self) -> int:
        """Let the replica take the primary's place by hand, and return the replica's port."""
        old = self.primary()
        sentinel = self.nodes[self.sentinels[0]]
        sentinel.ask("SENTINEL", "FAILOVER", SERVICE)
        return self.promoted(old)

    def promoted(self, gone: int) -> int:
        """Wait until all sentinels name the other server; return its port."""
        other = self.other(gone)
        until(
            lambda: all(
                self._named_by(self.nodes[port]) == other
                for port in self.sentinels
                if self.nodes[port].is_going
            ),
            f"server in the place of {gone}",
        )
        return other

    def whole(self) -> None:
        """Start and resume what is down, and wait until the primary has its replica."""
        for node in self.nodes.values():
            if node.is_running:
                node.resume()
        for port in (*self.sentinels, *self.servers):
            if not self.nodes[port].is_running:
                self.restart(port)
        self._follow(self.other(self.primary()))
        until(self._is_whole, "whole set-up")

    def flush(self) -> None:
        """Empty the primary, scripts included."""
        admin = self.nodes[self.primary()].admin
        admin.flushall()
        admin.script_flush()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self.__exit__)
            for port in self.servers:
                self.nodes[port].start()
                until(self.nodes[port].answers, f"answer of {port}")
            for port in self.sentinels:
                self.nodes[port].start()
            self.whole()
            for port in self.sentinels:
                self.nodes[port].ask(
                    "SENTINEL", "SET", SERVICE, "down-after-milliseconds", self._down_after_ms
                )
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes.values():
            node.close()
        shutil.rmtree(self._folder)

    def _server(self, port: int) -> Node:
        folder = self._folder / str(port)
        return Node(
            folder,
            port,
            *("--port", str(port), "--bind", HOST, "--dir", str(folder)),
            *("--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"),
        )

    def _sentinel(self, port: int) -> Node:
        folder = self._folder / str(port)
        folder.mkdir()
        first, second = self.servers
        lines = [
            f"port {port}",
            f"bind {HOST}",
            f"dir {folder}",
            f"sentinel myid {self._ids[port]}",
            f"sentinel monitor {SERVICE} {HOST} {first} {_QUORUM}",
            f"sentinel down-after-milliseconds {SERVICE} {_WHILE_STARTING_MS}",
            f"sentinel failover-timeout {SERVICE} 2000",
            f"sentinel known-replica {SERVICE} {HOST} {second}",
        ]
        lines += [
            f"sentinel known-sentinel {SERVICE} {HOST} {other} {name}"
            for other, name in self._ids.items()
            if other != port
        ]
        file = folder / "sentinel.conf"
        file.write_text("\n".join(lines) + "\n")
        return Node(folder, port, str(file), "--sentinel")

    def _follow(self, server: int) -> None:
        """Make a server the other's replica; sentinels do so as well, but take ten seconds."""
        if server != self.primary():
            self.nodes[server].admin.replicaof(HOST, str(self.other(server)))

    def _named_by(self, sentinel: Node) -> int:
        place = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(place[1])

    def _is_whole(self) -> bool:
        named = {self._named_by(self.nodes[port]) for port in self.sentinels}
        if len(named) != 1:
            return False
        primary = named.pop()
        leads: Any = self.nodes[primary].admin.info("replication")
        follows: Any = self.nodes[self.other(primary)].admin.info("replication")
        return bool(
            leads["role"] == "master"
            and leads["connected_slaves"] == 1
            and follows["role"] == "slave"
            and follows["master_link_status"] == "up"
            and all(self._sees_all(self.nodes[port]) for port in self.sentinels)
        )

    def _sees_all(self, sentinel: Node) -> bool:
        """Whether a sentinel would agree to a failover now: nobody is taken for dead."""
        state = sentinel.ask("SENTINEL", "MASTER", SERVICE)
        return bool(state["flags"] == "master" and state["num-other-sentinels"] == "2")
