"""A Service and its clients: new connections go to its pods in turn, kept ones stay."""

import threading
from itertools import count
from typing import Final

from tests.deploy.container import PodConnection
from tests.deploy.pod import Pod

_DROPPED_AFTER_S: Final = 1.0
"""How long every node of a cluster may go on sending to a pod that was told to stop."""


class Service:
    """The pods that new connections are led to."""

    def __init__(self, *pods: Pod) -> None:
        self._pods = list(pods)
        self._turns = count()

    def connection(self) -> PodConnection:
        """A client's connection, led to a pod whenever it is opened."""
        return _LedConnection(self)

    def stop(self, pod: Pod) -> None:
        """Stop a pod, which is dropped a while after it was told; wait until it has ended."""
        dropped = threading.Timer(_DROPPED_AFTER_S, self._pods.remove, [pod])
        dropped.start()
        pod.stop()
        dropped.join()

    def next_pod(self) -> Pod:
        """The pod whose turn it is."""
        pods = list(self._pods)
        return pods[next(self._turns) % len(pods)]


class _LedConnection(PodConnection):
    """Opened anew, it may be led elsewhere."""

    def __init__(self, service: Service) -> None:
        super().__init__(service.next_pod().network, 8000)
        self._service = service

    def connect(self) -> None:
        self.network = self._service.next_pod().network
        super().connect()
