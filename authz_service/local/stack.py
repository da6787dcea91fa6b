"""The order in which the parts start and end, and what happens when one of them dies.

Valkey → sidecar → image service → Envoy: each waits until the one before it answers, so the
public port opens last. They end the other way round.
"""

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from authz_service.errors import ConfigurationError, StackError
from authz_service.local import parts
from authz_service.local.all_metrics import all_metrics
from authz_service.local.console import Console
from authz_service.local.parts import Layout
from authz_service.local.ports import claim
from authz_service.signals import stop_event, until
from authz_service.supervise.process import Part, start

_ORDER: tuple[Callable[[Layout], Part], ...] = (
    parts.valkey,
    parts.authz,
    parts.image_service,
    parts.envoy,
)
_READY_TIMEOUT_S = 30.0


async def run_stack(*, policy_file: Path, environment: Mapping[str, str], console: Console) -> None:
    """Run the whole stack until SIGINT or SIGTERM. Must run in the main thread.

    Raises:
        ConfigurationError: a port is no port.
        StackError: a port is taken, a program is missing, or a part died; the rest is stopped.
    """
    stop = stop_event()
    with ExitStack() as folders:
        layout = _layout(policy_file, environment, folders)
        async with AsyncExitStack() as running:
            await until(stop, _start_and_watch(layout, running, console))
    console.say("Stopped.")


async def _start_and_watch(layout: Layout, running: AsyncExitStack, console: Console) -> None:
    """Start the parts in order, then wait for the first one to die."""
    try:
        async with asyncio.TaskGroup() as tasks:
            await running.enter_async_context(all_metrics(layout))
            for make in _ORDER:
                part = await start(make(layout))
                running.push_async_callback(part.stop)
                tasks.create_task(part.fail_when_dead())
                if part.stdout is not None:
                    tasks.create_task(_show(part.stdout, console))
                await part.until_ready(_READY_TIMEOUT_S)
            console.banner(port=layout.public_port)
    except* StackError as group:
        raise group.exceptions[0] from None


async def _show(lines: asyncio.StreamReader, console: Console) -> None:
    async for line in lines:
        console.access(line)


def _layout(policy_file: Path, environment: Mapping[str, str], folders: ExitStack) -> Layout:
    """Ports and folder. The folder is a short one: a Unix socket's path holds 107 bytes."""
    run_dir = environment.get("AUTHZ_RUN_DIR")
    if not run_dir:
        run_dir = folders.enter_context(tempfile.TemporaryDirectory(prefix="authz-"))
    Path(run_dir).mkdir(parents=True, exist_ok=True)
    return Layout(
        run_dir=Path(run_dir).absolute(),
        policy_file=policy_file.absolute(),
        public_port=_port(environment, "PORT", 8000, "Envoy's public door"),
        scrape_port=_port(environment, "AUTHZ_SCRAPE_PORT", 9901, "Envoy's metrics"),
        app_port=_port(environment, "AUTHZ_APP_PORT", 8080, "the image service"),
        authz_operations_port=_port(
            environment, "AUTHZ_OPERATIONS_PORT", 9102, "the sidecar's metrics"
        ),
        image_operations_port=_port(
            environment, "IMAGE_OPERATIONS_PORT", 9103, "the image service's metrics"
        ),
        all_metrics_port=claim(0, purpose="all metrics together", setting=""),
        environment=environment,
    )


def _port(environment: Mapping[str, str], setting: str, default: int, purpose: str) -> int:
    text = environment.get(setting) or str(default)
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):  # noqa: PLR2004
        raise ConfigurationError([f"{setting}: {text!r} is no port; write 0 for a free one"])
    return claim(int(text), purpose=purpose, setting=setting)
