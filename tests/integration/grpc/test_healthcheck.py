"""The healthcheck command, as an orchestrator runs it: a program of its own."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any, TypeAlias

Stack: TypeAlias = Any  # defined beside these tests, in a conftest


async def healthcheck(address: str) -> tuple[int | None, bytes, bytes]:
    """Exit code, standard output and standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "authz_service", "healthcheck", address, stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out, err


async def test_it_tells_a_worker_that_serves_from_nobody(stack: Stack, tmp_path: Path) -> None:
    """0 from a worker that serves; 1, with a sentence, where nobody does."""
    nobody = f"unix:{tmp_path}/nobody.sock"
    told = f"error: nothing at {nobody} serves checks\n".encode()
    # Together: starting a program takes longer than anything else here.
    found = tuple(await asyncio.gather(healthcheck(stack.worker.address), healthcheck(nobody)))
    assert found == ((0, b"serving\n", b""), (1, b"", told))
