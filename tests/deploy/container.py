"""One container of a pod, as a process with a file system of its own."""

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event
from typing import Final

from tests.deploy.network import Network, program
from tests.deploy.rendered import Object, expanded

_LOOK_S: Final = 0.05
_RUN_TIMEOUT_S: Final = 20


class PodConnection(HTTPConnection):
    """A connection of a client that is led to a pod."""

    def __init__(self, network: Network, port: int, *, timeout_s: float = 10) -> None:
        super().__init__("pod", port, timeout=timeout_s)
        self.network = network

    def connect(self) -> None:
        """Open it anew."""
        self.sock = self.network.connect(self.port)
        self.sock.settimeout(self.timeout)


@dataclass(slots=True)
class Container:
    """A container and, once it was started, its process."""

    spec: Object
    environment: Mapping[str, str]
    network: Network
    root: Path
    log: Path
    enter: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None
    ended: Event = field(default_factory=Event)

    @property
    def name(self) -> str:
        """Its name in the manifest."""
        return str(self.spec["name"])

    @property
    def is_sidecar(self) -> bool:
        """Whether it runs beside what comes after it."""
        return bool(self.spec.get("restartPolicy") == "Always")

    @property
    def running(self) -> "subprocess.Popen[bytes]":
        """Its process, which was started."""
        assert self.process is not None, f"{self.name} was not started"
        return self.process

    def start(self) -> None:
        """Run its command. From the main thread: Envoy ends with the thread that started it."""
        given = [*self.spec.get("command", ()), *self.spec.get("args", ())]
        command = [expanded(it, self.environment) for it in given]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._joined("--user", "--net"), *_OWN_MOUNTS, *self.enter, *command],
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_until_done(self) -> None:
        """Wait for the end of one that does not stay."""
        code = self.running.wait(_RUN_TIMEOUT_S)
        assert code == 0, f"{self.name} exited with {code}:\n{self.log.read_text()}"

    def wait_until_started(self) -> None:
        """Wait for the startup probe, as long as it may take."""
        probe = self.spec.get("startupProbe")
        if probe is None:
            return
        ends = time.perf_counter() + probe.get("periodSeconds", 10) * probe["failureThreshold"]
        while not self.passes("startupProbe"):
            assert self.running.poll() is None, f"{self.name} ended:\n{self.log.read_text()}"
            assert time.perf_counter() < ends, f"{self.name} did not start"
            time.sleep(_LOOK_S)

    def passes(self, probe: str) -> bool:
        """Whether a probe succeeds now; one that the manifest does not have does."""
        if probe not in self.spec:
            return True
        if "exec" in self.spec[probe]:
            return self.run(*self.spec[probe]["exec"]["command"]).returncode == 0
        asked, timeout_s = self.spec[probe]["httpGet"], self.spec[probe].get("timeoutSeconds", 1)
        connection = PodConnection(self.network, self._port(asked["port"]), timeout_s=timeout_s)
        try:
            connection.request("GET", asked["path"])
            return 200 <= connection.getresponse().status < 400
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def run(
        self, *command: str, timeout_s: float = _RUN_TIMEOUT_S
    ) -> "subprocess.CompletedProcess[str]":
        """Run another command in there, as `kubectl exec` does."""
        inside = self._joined("--user", "--net", "--mount", "--root", "--wd=/")
        return subprocess.run(
            [*inside, *command],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def told(self) -> list[Mapping[str, object]]:
        """What it logged so far, of that what is JSON."""
        lines = self.log.read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def _joined(self, *namespaces: str) -> list[str]:
        pid = self.process.pid if self.process else self.network.pid
        return [program("nsenter"), f"--target={pid}", *namespaces, "--preserve-credentials", "--"]

    def _port(self, port: int | str) -> int:
        if isinstance(port, int):
            return port
        (number,) = (it["containerPort"] for it in self.spec["ports"] if it.get("name") == port)
        return int(number)


_OWN_MOUNTS: Final = (program("unshare"), "--mount", "--propagation=private", "--")
