"""Keys of a key store, in a whole service: two workers, a supervisor, and a server that dies."""

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest

from authz_service.identity.key_store import KeyChange, StoredKey
from authz_service.storage.from_url import key_store_from_url
from authz_service.testing.builders import PlantedSecrets, stored_key
from tests.conformance.storage.server import Server
from tests.e2e.processes import eventually
from tests.integration.supervise.conftest import KEY, WORKERS, Service, Start

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the service is asked through Unix sockets"
)

STORED = "secret-of-one"
ONE = stored_key("one", tier="enterprise")


def apply(server: Server, before: StoredKey | None, after: StoredKey | None) -> None:
    """Make one change, as a command does."""

    async def change() -> None:
        store = key_store_from_url(server.url)
        await store.apply([KeyChange(before, after)])
        await store.close()

    asyncio.run(change())


def last_used(server: Server) -> int | None:
    """When the stored key was last used, as the store knows."""

    async def ask() -> int | None:
        store = key_store_from_url(server.url)
        found = await store.last_used(["one"])
        await store.close()
        return found.get("one")

    return asyncio.run(ask())


def statuses(service: Service, key: str) -> set[int]:
    """What the workers have Envoy answer."""
    return {service.status(index, key) for index in range(WORKERS)}


def detail(service: Service) -> object:
    """What readiness says of the key store; the service is ready whatever that is."""
    answer = service.operations.get("/readyz")
    assert answer.status == 200
    return json.loads(answer.body)["details"]["key_store"]


def test_a_key_is_made_used_and_revoked_while_the_service_runs(
    start: Start, server: Server
) -> None:
    """Both workers know of each change within a second; the use is written before they end."""
    service = start("0")
    service.wait_until_ready()
    eventually(lambda: statuses(service, STORED) == {401})

    began = time.perf_counter()
    apply(server, None, ONE)
    eventually(lambda: statuses(service, STORED) == {200})
    apply(server, ONE, None)
    eventually(lambda: statuses(service, STORED) == {401})
    assert time.perf_counter() - began < 2

    apply(server, None, ONE)
    eventually(lambda: statuses(service, STORED) == {200})
    service.process.terminate()
    code, output = service.wait()
    assert code == 0
    assert STORED not in "\n".join(output)
    assert last_used(server) is not None


def test_a_key_store_that_dies_is_a_degraded_one(start: Start, server: Server) -> None:
    """Known keys and those of the configuration go on, unknown ones get 503, all is ready."""
    apply(server, None, ONE)
    service = start("0")
    service.wait_until_ready()
    eventually(lambda: statuses(service, STORED) == {200})
    eventually(lambda: detail(service) == "ok")

    server.kill()

    eventually(lambda: statuses(service, "unknown-key") == {503})
    assert statuses(service, STORED) == {200}
    assert statuses(service, KEY) == {200}
    eventually(lambda: detail(service) == "degraded")
    server.start()
    eventually(lambda: statuses(service, STORED) == {401})
    eventually(lambda: detail(service) == "ok")


def test_a_pepper_file_that_others_can_read_is_warned_of(start: Start, run_dir: Path) -> None:
    """Once at the start, by the name of the file; the service serves all the same."""
    peppers = run_dir / "peppers"
    peppers.write_text(f"{PlantedSecrets().password}-0123456789-0123456789\n")
    peppers.chmod(0o644)
    service = start("0", AUTHZ_PEPPER_FILE=str(peppers))
    service.wait_until_ready()
    assert service.check(0)
    service.process.terminate()
    _, output = service.wait()
    warned = [line for line in output if "can be read by others than its owner" in line]
    assert len(warned) == 1
    assert str(peppers) in warned[0]
    assert PlantedSecrets().found_in("\n".join(output)) == []
