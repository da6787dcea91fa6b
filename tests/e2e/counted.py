"""Every kind of answer a client can get, counted by the client: what metrics are held to."""

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.e2e.client import HOST, MULTIPART, Client, Reply, multipart
from tests.e2e.conftest import encoded
from tests.e2e.processes import children, eventually
from tests.e2e.stack import Stack

LIMITS: Final = "/api/v1/images/limits"
UPSCALE: Final = "/api/v1/images/upscale"
JOB: Final = "/api/v1/jobs/{job_id}"
RESULT: Final = "/api/v1/jobs/{job_id}/result"
OTHER: Final = "other"
NO_METHOD: Final = "OTHER"
ORIGIN: Final = "https://app.example.com"
CORS_ORIGINS: Final = f'["{ORIGIN}"]'
UPSTREAM_TIMEOUT: Final = "3s"

_BRIEF_TIER_BYTES: Final = 65_536
_BAD_CREDENTIALS: Final = 20  # the policy's default for one address
_DOCS_TOTAL: Final = 3


def with_every_refusal(policy: dict[str, Any]) -> dict[str, Any]:
    """The image service's policy, changed so that it also answers 403, and 429 to all callers."""
    policy["upstream"]["timeout"] = UPSTREAM_TIMEOUT
    routes = {route["name"]: route for route in policy["routes"]}
    routes["job"]["tiers"] = ["enterprise"]
    routes["docs"]["global_limits"] = [{"name": "docs-total", "rate": f"{_DOCS_TOTAL}/minute"}]
    return policy


class Counted:
    """Sends requests to a stack that nobody else talks to, and notes what comes of each."""

    def __init__(self, stack: Stack) -> None:
        self.requests: Counter[tuple[str, ...]] = Counter()
        """By method, endpoint and status."""
        self.decisions: Counter[str] = Counter()
        """By reason; requests that Envoy answers alone have none."""
        self.files: list[int] = []
        """The sizes of files that arrived whole."""
        self.jobs: Counter[str] = Counter()
        """By how they ended."""
        self._stack = stack
        self._client: Client = stack.client
        self._pro = stack.fresh_key("pro")
        self._owner = ""  # of the job at hand: each has its own, for looking at it is limited too

    @property
    def durations(self) -> Counter[tuple[str, ...]]:
        """Requests by method and endpoint."""
        found = Counter[tuple[str, ...]]()
        for (method, endpoint, _), count in self.requests.items():
            found[method, endpoint] += count
        return found

    def send_one_of_each(self) -> None:
        """Everything but what needs a part of the stack to be stopped."""
        self._over_a_limit()
        self._without_a_right()
        self._answered_by_envoy()
        self._over_a_limit_of_all()
        self._uploads_that_are_refused()
        self._jobs_that_succeed()
        self._job_that_is_cancelled()
        self._job_that_fails()
        self._clients_that_go_away()

    def send_to_a_stopped_application(self) -> None:
        """Envoy gives up waiting: 504."""
        with stopped(_process(self._stack, "image_service serve")):
            self._note("GET", "/healthz", self._client.get("/healthz"), 504)

    # Each of these names the reason that the sidecar must give with the status.

    def _over_a_limit(self) -> None:
        key = [("X-API-Key", self._stack.fresh_key("free"))]
        for _ in range(10):
            self._note("GET", LIMITS, self._client.get(LIMITS, key), 200, "ok")
        for _ in range(2):
            self._note("GET", LIMITS, self._client.get(LIMITS, key), 429, "rate_limited")

    def _without_a_right(self) -> None:
        unknown, job = [("X-API-Key", "unknown-key")], JOB.format(job_id="unknown")
        source = self._stack.fresh_address()
        for _ in range(_BAD_CREDENTIALS):
            reply = self._client.get(LIMITS, unknown, source=source)
            self._note("GET", LIMITS, reply, 401, "unknown_key")
        while (reply := self._client.get(LIMITS, unknown, source=source)).status == 401:
            self._note("GET", LIMITS, reply, 401, "unknown_key")  # each worker counts by itself
        self._note("GET", LIMITS, reply, 429, "too_many_bad_credentials")
        source = self._stack.fresh_address()
        reply = self._client.get(LIMITS, source=source)
        self._note("GET", LIMITS, reply, 200, "ok")  # anonymous
        reply = self._client.get(job, source=source)
        self._note("GET", JOB, reply, 401, "missing_credential")
        reply = self._client.get(f"{LIMITS}?api_key=unknown-key", source=source)
        self._note("GET", LIMITS, reply, 401, "credential_in_query")
        reply = self._client.get(job, [("X-API-Key", self._pro)])
        self._note("GET", JOB, reply, 403, "tier_not_allowed")
        reply = self._client.get(job, [("X-API-Key", self._stack.fresh_key("enterprise"))])
        self._note("GET", JOB, reply, 404, "ok")

    def _answered_by_envoy(self) -> None:
        client = self._client
        for path in ("/nowhere", "/nowhere/else"):
            self._note("GET", OTHER, client.get(path), 404)
        self._note("GET", OTHER, client.get("/api%2fv1"), 400)
        self._note(NO_METHOD, OTHER, client.get("/", [("X-Large", "x" * 70_000)]), 431)
        self._note("PUT", LIMITS, client.send("PUT", LIMITS), 405)
        self._note("GET", "/healthz", client.get("/healthz"), 200)
        asked = [("Origin", ORIGIN), ("Access-Control-Request-Method", "POST")]
        self._note("OPTIONS", OTHER, client.send("OPTIONS", UPSCALE, asked), 200)
        answer = client.raw(b"FROB / HTTP/1.1\r\nHost: x\r\n\r\n", until_closed=True)
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        self.requests[NO_METHOD, OTHER, "400"] += 1

    def _over_a_limit_of_all(self) -> None:
        for status in [200] * _DOCS_TOTAL + [429]:
            self._note("GET", "/openapi.json", self._client.get("/openapi.json"), status)

    def _uploads_that_are_refused(self) -> None:
        for status, size in ((413, 200_000), (413, _BRIEF_TIER_BYTES + 1)):  # Envoy, the service
            key = self._stack.fresh_key("brief")
            self._note("POST", UPSCALE, self._client.upload(key, bytes(size)), status, "ok")
        self._upload(b"no image", 400)
        headers = [("X-API-Key", self._pro), ("Content-Type", MULTIPART)]
        no_file = multipart(b"", {}).replace(b'name="file"; filename="image"', b'name="else"')
        reply = self._client.send("POST", UPSCALE, headers, no_file)
        self._note("POST", UPSCALE, reply, 422, "ok")

    def _jobs_that_succeed(self) -> None:
        self._upload(encoded("JPEG"), 200, headers=[("Prefer", "wait=30")])
        job = self._upload(encoded("PNG"), 202).header("location")
        assert eventually(lambda: self._job(job)["status"] == "succeeded")
        result = self._client.get(f"{job}/result", self._key)
        self._note("GET", RESULT, result, 200, "ok")
        self.jobs["success"] += 2

    def _job_that_is_cancelled(self) -> None:
        job = self._at_work()
        self._note("GET", RESULT, self._client.get(f"{job}/result", self._key), 409, "ok")
        self._note("DELETE", JOB, self._client.send("DELETE", job, self._key), 204, "ok")
        self.jobs["cancelled"] += 1

    def _job_that_fails(self) -> None:
        job = self._at_work()
        kill_decoders(self._stack)
        assert eventually(lambda: self._job(job)["status"] == "failed")
        self.jobs["failure"] += 1

    def _clients_that_go_away(self) -> None:
        head = (
            f"POST {UPSCALE} HTTP/1.1\r\nHost: x\r\nX-API-Key: {self._pro}\r\n"
            f"Content-Type: {MULTIPART}\r\nContent-Length: 100000\r\n\r\n"
        )
        for _ in range(2):
            with socket.create_connection((HOST, self._client.port), timeout=5) as connection:
                connection.sendall(head.encode() + bytes(5_000))
                eventually(lambda: _under_way(self._stack) == 1)
            eventually(lambda: _under_way(self._stack) == 0)
            self.requests["POST", UPSCALE, "499"] += 1
            self.decisions["ok"] += 1

    @property
    def _key(self) -> list[tuple[str, str]]:
        return [("X-API-Key", self._owner)]

    def _new_owner(self) -> str:
        self._owner = self._stack.fresh_key("enterprise")
        return self._owner

    def _upload(
        self,
        image: bytes,
        status: int,
        *,
        headers: list[tuple[str, str]] | None = None,
        **more: str,
    ) -> Reply:
        reply = self._client.upload(self._new_owner(), image, headers=headers or [], **more)
        self.files.append(len(image))
        return self._note("POST", UPSCALE, reply, status, "ok")

    def _at_work(self) -> str:
        """A job that will last for seconds, and whose image the decoder has."""
        photo = encoded("JPEG", (1500, 1200))
        job = self._upload(photo, 202, scale="4", format="webp").header("location")
        eventually(lambda: self._job(job)["progress"])
        return job

    def _job(self, target: str) -> Any:  # noqa: ANN401 - JSON
        reply = self._client.get(target, self._key)
        return self._note("GET", JOB, reply, 200, "ok").json()

    def _note(
        self, method: str, endpoint: str, reply: Reply, status: int, reason: str | None = None
    ) -> Reply:
        assert reply.status == status, (method, endpoint, reply)
        self.requests[method, endpoint, str(reply.status)] += 1
        if reason is not None:
            self.decisions[reason] += 1
        return reply


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Processes that do nothing while the context lasts."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _under_way(stack: Stack) -> int:
    """Requests that the application has and has not answered, as Envoy knows it."""
    text = stack.scrape.get("/metrics").body.decode()
    name = 'envoy_cluster_upstream_rq_active{envoy_cluster_name="upstream"} '
    (line,) = [line for line in text.splitlines() if line.startswith(name)]
    return int(line.removeprefix(name))


def kill_decoders(stack: Stack) -> None:
    """End the processes that work on images, of the worker; jobs under way fail."""
    for pid, command in children(_process(stack, "image_service work")).items():
        if "image_service.decoder" in command:
            os.kill(pid, signal.SIGKILL)


def _process(stack: Stack, command: str) -> int:
    (pid,) = [pid for pid, it in children(stack.process.pid).items() if command in it]
    return pid
