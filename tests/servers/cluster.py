"""A real cluster of six Valkey nodes, three primaries and a replica of each, for tests to break.

The cluster is written into the nodes' files instead of being introduced node by node, so that it
is up in three seconds. A primary that is gone is replaced by its replica in about three seconds.
"""

import secrets
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from redis.crc import key_slot

from tests.servers.node import HOST, Node, free_ports, until

_RANGES: Final = ((0, 5460), (5461, 10922), (10923, 16383))


class ClusterServers:
    """Use it as a context manager. Nodes are named by their ports.

    `whole` undoes everything that a test did to nodes; call it before a test that needs all six.
    Everything blocks: in a test on an event loop, `asyncio.to_thread` keeps the loop going.
    """

    def __init__(self, *, node_timeout_ms: int = 2_000) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cluster-"))
        ports = free_ports(12)
        self.ports = ports[:6]
        buses = dict(zip(self.ports, ports[6:], strict=True))
        self._ids = {port: secrets.token_hex(20) for port in self.ports}
        self.nodes = {
            port: Node(
                self._folder / str(port),
                port,
                *("--port", str(port), "--bind", HOST, "--cluster-port", str(buses[port])),
                *("--dir", str(self._folder / str(port)), "--save", "", "--appendonly", "no"),
                *("--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout_ms)),
                *("--cluster-allow-replica-migration", "no", "--repl-diskless-sync-delay", "0"),
                *("--cluster-require-full-coverage", "no"),  # as docs/limits.md advises
            )
            for port in self.ports
        }
        for port in self.ports:
            self._write_down(port, buses)

    @property
    def url(self) -> str:
        """The cluster as a store URL, by three of its nodes."""
        return "redis+cluster://" + ",".join(f"{HOST}:{port}" for port in self.ports[:3])

    def primaries(self) -> list[int]:
        """The nodes that serve slots now."""
        return sorted({port for _, _, port in self._slots(self._answering())})

    def primary_of(self, key: str) -> int:
        """The node that serves a key now."""
        slot = key_slot(key.encode())
        served = self._slots(self._answering())
        (port,) = [port for first, last, port in served if first <= slot <= last]
        return port

    def partner(self, port: int) -> int:
        """The other node of a pair: one of the two is the replica of the other."""
        return self.ports[(self.ports.index(port) + 3) % 6]

    def kill(self, port: int) -> None:
        """End a node's process at once (SIGKILL)."""
        self.nodes[port].kill()

    def pause(self, port: int) -> None:
        """Make a node hang (SIGSTOP): its sockets stay open."""
        self.nodes[port].pause()

    def resume(self, port: int) -> None:
        """Let a paused node go on; it learns by itself what has become of it."""
        self.nodes[port].resume()

    def restart(self, port: int) -> None:
        """Start a node that was killed, under the address and the name it had."""
        self.nodes[port].start()
        until(self.nodes[port].answers, f"answer of {port}")

    def failover(self, primary: int) -> int:
        """Let the replica of a primary take its place by hand, and return the replica's port."""
        replica = self.partner(primary)
        self.nodes[replica].ask("CLUSTER", "FAILOVER")
        return self.promoted(primary)

    def promoted(self, gone: int) -> int:
        """Wait until all nodes name the partner of a primary in its place; return its port."""
        replica = self.partner(gone)
        others = [self.nodes[port] for port in self.ports if port != gone]
        until(
            lambda: all(self._names(node, replica) for node in others if node.is_going),
            f"node in the place of {gone}",
        )
        return replica

    def whole(self) -> None:
        """Start and resume what is down, and wait until three primaries have a replica each."""
        for node in self.nodes.values():
            if not node.is_running:
                node.start()
            node.resume()
        until(self._is_whole, "whole cluster")

    def flush(self) -> None:
        """Empty every node, scripts included."""
        for port in self.primaries():
            self.nodes[port].admin.flushall()
            self.nodes[port].admin.script_flush()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self.__exit__)
            for node in self.nodes.values():
                node.start()
            self.whole()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes.values():
            node.close()
        shutil.rmtree(self._folder)

    def _write_down(self, port: int, buses: dict[int, int]) -> None:
        lines = []
        for number, other in enumerate(self.ports):
            mine = "myself," if other == port else ""
            place = f"{self._ids[other]} {HOST}:{other}@{buses[other]}"
            if number < len(_RANGES):
                first, last = _RANGES[number]
                role = f"{mine}master - 0 0 {number + 1} connected {first}-{last}"
            else:
                primary = self.ports[number - len(_RANGES)]
                role = f"{mine}slave {self._ids[primary]} 0 0 {number - 2} connected"
            lines.append(f"{place} {role}\n")
        lines.append("vars currentEpoch 3 lastVoteEpoch 0\n")
        (self._folder / str(port) / "nodes.conf").write_text("".join(lines))

    def _answering(self) -> Node:
        return next(node for node in self.nodes.values() if node.is_going and node.answers())

    def _slots(self, node: Node) -> list[tuple[int, int, int]]:
        """What a node says of slots: the first, the last, and the port of the primary."""
        served = node.ask("CLUSTER", "SLOTS")
        return [(entry[0], entry[1], entry[2][1]) for entry in served]

    def _names(self, node: Node, primary: int) -> bool:
        return any(port == primary for _, _, port in self._slots(node))

    def _is_whole(self) -> bool:
        views = {tuple(sorted(self._slots(node))) for node in self.nodes.values()}
        return len(views) == 1 and all(map(self._is_paired, self.nodes.values()))

    def _is_paired(self, node: Node) -> bool:
        cluster = node.ask("CLUSTER INFO")
        replication: Any = node.admin.info("replication")
        linked = replication.get("master_link_status") == "up"
        served = replication.get("connected_slaves") == 1
        return bool(cluster["cluster_state"] == "ok" and (linked or served))
