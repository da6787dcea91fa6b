"""What the files say: policy and keys together, loaded as one and followed as they change."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from authz_service.core.rules import Policy
from authz_service.errors import ConfigurationError
from authz_service.identity.api_keys import KeyIndex, Source, load_api_keys
from authz_service.policy.sources import load_policy, policy_files
from authz_service.settings import Settings

_log = structlog.get_logger(__name__)

# Seen at one look and unchanged at the next, a change is in force within half a second.
_LOOK_INTERVAL_S = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One state of the files, whole and checked."""

    policy: Policy
    keys: KeyIndex


def load_configuration(settings: Settings, environment: Mapping[str, str]) -> Configuration:
    """The policy and the keys.

    Raises:
        ConfigurationError: with every problem of both.
    """
    problems: list[str] = []
    policy = keys = None
    try:
        policy = load_policy(settings.policy_file, environment)
    except ConfigurationError as error:
        problems += error.problems
    try:
        keys = load_api_keys(_key_sources(settings), tiers=policy.tiers if policy else None)
    except ConfigurationError as error:
        problems += error.problems
    if policy is None or keys is None:
        raise ConfigurationError(problems)
    return Configuration(policy=policy, keys=keys)


def _key_sources(settings: Settings) -> list[Source]:
    sources = [Source("API_KEYS", settings.api_keys.get_secret_value())]
    if settings.keys_file is not None:
        try:
            text = settings.keys_file.read_bytes().decode("utf-8", errors="surrogateescape")
        except OSError as error:
            raise ConfigurationError(
                [f"{settings.keys_file}: cannot be read: {error.strerror}"]
            ) from error
        sources.append(Source(str(settings.keys_file), text, is_yaml=True))
    return sources


@dataclass(slots=True)
class FileStatus:
    """How the latest look at the files went. `problems` is empty while they are in force."""

    digest: str
    problems: tuple[str, ...] = ()


class ConfigurationWatch:
    """Loads the files anew when they change; a bad state of them changes nothing.

    Looks at the files themselves a few times a second: editors rename, Kubernetes swaps a symbolic
    link two folders up, network file systems tell nobody, and a look sees all of it alike.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        environment: Mapping[str, str],
        current: Configuration,
        adopt: Callable[[Configuration], Awaitable[None]],
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._adopt = adopt
        self._refused = refused
        self._files = _files(settings, environment)
        self._in_force = self._look()
        self.status = FileStatus(current.policy.digest)

    async def run(self) -> None:
        """Follow the files until cancelled."""
        before = self._in_force
        while True:
            await asyncio.sleep(_LOOK_INTERVAL_S)
            now = self._look()
            # A file that is still being written differs at every look.
            if now == before != self._in_force:
                await self._load()
                now = self._in_force
            before = now

    def _look(self) -> "_Look":
        return tuple(_seen(file) for file in self._files)

    async def _load(self) -> None:
        # In threads: reading and compiling take longer than a check may wait.
        self._files = await asyncio.to_thread(_files, self._settings, self._environment)
        self._in_force = self._look()
        try:
            loaded = await asyncio.to_thread(load_configuration, self._settings, self._environment)
        except ConfigurationError as error:
            self.status.problems = error.problems
            self._refused()
            _log.error("configuration refused, the last good one stays", problems=error.problems)
            return
        await self._adopt(loaded)
        self.status = FileStatus(loaded.policy.digest)
        _log.info("configuration in force", policy=loaded.policy.digest, keys=len(loaded.keys))


def _files(settings: Settings, environment: Mapping[str, str]) -> tuple[Path, ...]:
    keys = () if settings.keys_file is None else (settings.keys_file,)
    return (*policy_files(settings.policy_file, environment), *keys)


_Seen = tuple[str, int, int, int] | tuple[str]
_Look = tuple[_Seen, ...]


def _seen(file: Path) -> _Seen:
    """What tells one state of a file from another: which file it is, how long, and since when."""
    try:
        found = file.stat()
    except OSError:
        return (str(file),)
    return (str(file), found.st_ino, found.st_size, found.st_mtime_ns)
