"""The order in which the parts start and end, and what happens when one of them dies.

Valkey → queue → sidecar → image service → image worker → Envoy: each waits until the one before
it answers, so the public port opens last. They end the other way round.
"""

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from authz_service.addresses import is_port, run_folder
from authz_service.errors import ConfigurationError, StackError
from authz_service.local import parts
from authz_service.local.all_metrics import all_metrics
from authz_service.local.console import Console
from authz_service.local.parts import Layout
from authz_service.local.ports import claims
from authz_service.signals import stop_event, until
from authz_service.supervise.process import Part, start

_ORDER: tuple[Callable[[Layout], Part], ...] = (
    parts.valkey,
    parts.queue,
    parts.authz,
    parts.image_service,
    parts.image_worker,
    parts.envoy,
)
_READY_TIMEOUT_S = 30.0


async def run_stack(*, policy_file: Path, environment: Mapping[str, str], console: Console) -> None:
    """Run the whole stack until SIGINT, SIGTERM or SIGHUP. Must run in the main thread.

    Raises:
        ConfigurationError: a port is no port, or the run folder's path is too long.
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
    with claims() as claim:

        def port(setting: str, default: int, purpose: str) -> int:
            wanted = _port(environment.get(setting) or str(default), setting)
            return claim(wanted, purpose=purpose, setting=setting)

        return Layout(
            run_dir=_run_dir(environment.get("AUTHZ_RUN_DIR"), folders),
            policy_file=policy_file.absolute(),
            public_port=port("PORT", 8000, "Envoy's public door"),
            scrape_port=port("AUTHZ_SCRAPE_PORT", 9901, "Envoy's metrics"),
            app_port=port("AUTHZ_APP_PORT", 8080, "the image service"),
            authz_operations_port=port("AUTHZ_OPERATIONS_PORT", 9102, "the sidecar's metrics"),
            image_operations_port=port(
                "IMAGE_OPERATIONS_PORT", 9103, "the image service's metrics"
            ),
            image_worker_operations_port=port(
                "IMAGE_WORKER_OPERATIONS_PORT", 9105, "the image worker's metrics"
            ),
            admin_port=port("AUTHZ_ADMIN_PORT", 9104, "the admin API")
            if environment.get("AUTHZ_ADMIN_TOKEN")
            else 0,
            all_metrics_port=claim(0, purpose="all metrics together", setting=""),
            environment=environment,
        )


def _run_dir(wanted: str | None, folders: ExitStack) -> Path:
    """A folder with room for sockets: the wanted one, or one that goes when the stack goes."""
    if not wanted:
        return Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="authz-")))
    try:
        folder = run_folder(Path(wanted))
        folder.mkdir(parents=True, exist_ok=True)
    except ValueError as error:
        raise ConfigurationError([f"AUTHZ_RUN_DIR: {wanted!r} {error}"]) from None
    except OSError as error:
        raise StackError(f"cannot write to {wanted}: {error.strerror}") from error
    return folder


def _port(text: str, setting: str) -> int:
    if not is_port(text):
        raise ConfigurationError([f"{setting}: {text!r} is no port; write 0 for a free one"])
    return int(text)
