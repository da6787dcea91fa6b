"""A pod of a rendered Deployment, run on this machine as a kubelet runs it.

Containers are processes in namespaces of their own: the manifest's commands, variables, mounts and
ports hold as they are written. What a kubelet does in which order, this does too:

* init containers one after the other, a sidecar until its startup probe passes;
* at the end the `preStop` hooks of all containers at once, each followed by SIGTERM: for the
  application at once, for a sidecar when all that came after it have gone; SIGKILL when the grace
  period is over.

Not done: restarts, users, limits of memory and processor, network policies. Startup probes are
asked more often than the manifest says, for no longer than it allows.
"""

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import TimeoutExpired
from threading import Thread
from typing import Final

from tests.deploy.container import Container, PodConnection
from tests.deploy.filesystem import enter, fill, make_volume
from tests.deploy.network import ADDRESS, Network
from tests.deploy.programs import Programs
from tests.deploy.rendered import Object, Rendered

_DEFAULT_GRACE_S: Final = 30
_PUBLIC_PORT: Final = 8000


class Pod:
    """A pod; `start` and `stop` it, then `close` it."""

    def __init__(
        self, rendered: Rendered, programs: Programs, *, deployment: str, name: str
    ) -> None:
        self.name = name
        self.hook_codes: dict[str, int | None] = {}
        self._spec = rendered.pod(deployment)
        self._folder = Path(tempfile.mkdtemp(prefix="pod-"))
        self.network = Network(self._folder)
        for volume in self._spec.get("volumes", ()):
            make_volume(self._folder / "volumes" / volume["name"], volume, rendered)
        fields = {
            "metadata.name": name,
            "metadata.namespace": "default",
            "status.podIP": ADDRESS,
        }

        def container(spec: Object) -> Container:
            own = self._folder / spec["name"]
            return Container(
                spec=spec,
                environment=programs.environment(spec["image"])
                | rendered.environment(spec, fields),
                network=self.network,
                root=own / "root",
                log=self._folder / f"{spec['name']}.log",
                enter=enter(
                    own / "root", spec, volumes=self._folder / "volumes", hidden=self._folder
                ),
            )

        self._initial = [container(it) for it in self._spec.get("initContainers", ())]
        self._applications = [container(it) for it in self._spec["containers"]]

    @property
    def containers(self) -> dict[str, Container]:
        """All of them by name."""
        return {it.name: it for it in (*self._initial, *self._applications)}

    @property
    def is_ready(self) -> bool:
        """Whether a Service would send requests here: everything runs and every probe passes."""
        staying = self._staying()
        return all(
            it.process is not None and it.process.poll() is None and it.passes("readinessProbe")
            for it in staying
        )

    def start(self) -> Iterator[Container]:
        """Start container after container; each is named when it runs, before it is waited for."""
        for container in self._initial:
            container.start()
            yield container
            if container.is_sidecar:
                container.wait_until_started()
            else:
                container.wait_until_done()
        for container in self._applications:
            container.start()
            yield container

    def connection(self, port: int = _PUBLIC_PORT) -> PodConnection:
        """A connection to a port of the pod, for requests one after the other."""
        return PodConnection(self.network, port)

    def remount(self, volume: str, files: Mapping[str, bytes]) -> None:
        """Change a ConfigMap or a Secret that is mounted, as a kubelet does."""
        fill(self._folder / "volumes" / volume, files)

    def stop(self) -> None:
        """End the pod as `kubectl delete` does, and wait until it has ended."""
        ends = time.perf_counter() + self._spec.get(
            "terminationGracePeriodSeconds", _DEFAULT_GRACE_S
        )
        stopping = [
            Thread(target=self._stop, args=(container, ends)) for container in self._staying()
        ]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()

    def close(self) -> None:
        """Leave nothing behind, however far it came."""
        for container in self.containers.values():
            if container.process is not None:
                container.process.kill()
                container.process.wait()
        self.network.close()
        shutil.rmtree(self._folder)

    def _staying(self) -> list[Container]:
        return [it for it in self._initial if it.is_sidecar] + self._applications

    def _stop(self, container: Container, ends: float) -> None:
        self._run_hook(container, ends)
        for other in self._gone_before(container):
            other.ended.wait(max(0, ends - time.perf_counter()))
        container.running.send_signal(signal.SIGTERM)
        try:
            container.running.wait(max(0, ends - time.perf_counter()))
        except TimeoutExpired:
            container.running.kill()
            container.running.wait()
        container.ended.set()

    def _gone_before(self, container: Container) -> list[Container]:
        staying = self._staying()
        return staying[staying.index(container) + 1 :] if container.is_sidecar else []

    def _run_hook(self, container: Container, ends: float) -> None:
        hook = container.spec.get("lifecycle", {}).get("preStop", {})
        if "sleep" in hook:
            time.sleep(min(hook["sleep"]["seconds"], max(0, ends - time.perf_counter())))
        elif "exec" in hook:
            left = max(0, ends - time.perf_counter())
            self.hook_codes[container.name] = None
            with suppress(TimeoutExpired):
                done = container.run(*hook["exec"]["command"], timeout_s=left)
                self.hook_codes[container.name] = done.returncode


@contextmanager
def running(rendered: Rendered, programs: Programs, *, deployment: str, name: str) -> Iterator[Pod]:
    """A pod that is ready; gone at the end, whether it was stopped or not."""
    pod = Pod(rendered, programs, deployment=deployment, name=name)
    try:
        for _ in pod.start():
            pass
        until_ready(pod)
        yield pod
    finally:
        pod.close()


def until_ready(pod: Pod) -> None:
    """Wait until the pod is ready."""
    ends = time.perf_counter() + _DEFAULT_GRACE_S
    while not pod.is_ready:
        assert time.perf_counter() < ends, f"{pod.name} is not ready"
        time.sleep(0.05)
