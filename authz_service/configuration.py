"""What the files say: policy and keys together, loaded as one and followed as they change."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from authz_service.core.descriptor_rules import DescriptorRules
from authz_service.core.provider import JWT_SECRET
from authz_service.core.rules import Policy
from authz_service.descriptors.sources import load_descriptors, watched_paths
from authz_service.errors import ConfigurationError, ListenError
from authz_service.identity.api_keys import Source, load_api_keys
from authz_service.identity.credentials import Credentials
from authz_service.identity.key_sources import Remote, nobody_fetches, trust
from authz_service.identity.peppers import load_peppers
from authz_service.identity.simple_provider import simple_provider
from authz_service.identity.tokens import TokenVerifier
from authz_service.policy.sources import load_policy, policy_files
from authz_service.settings import Settings

_log = structlog.get_logger(__name__)

# Seen at one look and unchanged at the next, a change is in force within half a second.
_LOOK_INTERVAL_S = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One state of the files, whole and checked."""

    policy: Policy
    credentials: Credentials
    descriptors: DescriptorRules | None
    read_from: "Files"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenParts:
    """What the tokens of a process that answers checks are verified with, beside the files."""

    remote: Remote = nobody_fetches
    looked_up: Callable[[bool], None] = lambda _: None


_NO_CHECKS = TokenParts()


def load_configuration(
    settings: Settings, environment: Mapping[str, str], parts: TokenParts = _NO_CHECKS
) -> Configuration:
    """The policy, the keys, and the rules by descriptor where there are any.

    Raises:
        ConfigurationError: with every problem of all.
    """
    # Before they are read: what changes meanwhile then differs at the next look.
    read_from = _files(settings, environment)
    problems: list[str] = []
    policy = keys = tokens = peppers = None
    try:
        policy = load_policy(settings.policy_file, environment)
    except ConfigurationError as error:
        problems += error.problems
    try:
        tokens = _token_verifier(policy, settings, environment, parts) if policy else None
    except ConfigurationError as error:
        problems += error.problems
    try:
        peppers = load_peppers(settings.pepper_file) if settings.pepper_file else ()
    except ConfigurationError as error:
        problems += error.problems
    try:
        keys = load_api_keys(
            _key_sources(settings), tiers=policy.tiers if policy else None, peppers=peppers
        )
    except ConfigurationError as error:
        problems += error.problems
    try:
        descriptors = _descriptors(settings)
    except ConfigurationError as error:
        problems += error.problems
    if problems or policy is None or keys is None or tokens is None or peppers is None:
        raise ConfigurationError(problems)
    return Configuration(
        policy=policy,
        credentials=Credentials(keys=keys, tokens=tokens),
        descriptors=descriptors,
        read_from=read_from,
    )


def _descriptors(settings: Settings) -> DescriptorRules | None:
    if settings.ratelimit_dir is None:
        return None
    return load_descriptors(
        settings.ratelimit_dir,
        merge_domains=settings.ratelimit_merge_domains,
        algorithm=settings.ratelimit_algorithm,
    )


def _token_verifier(
    policy: Policy, settings: Settings, environment: Mapping[str, str], parts: TokenParts
) -> TokenVerifier:
    providers = policy.providers
    if secret := settings.jwt_secret.get_secret_value():
        providers = (*providers, simple_provider(policy.tiers, taken=policy.providers))
        environment = {**environment, JWT_SECRET: secret}
    trusted = trust(
        providers,
        folder=settings.policy_file.parent,
        environment=environment,
        remote=parts.remote,
    )
    return TokenVerifier(trusted, looked_up=parts.looked_up)


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
        parts: TokenParts = _NO_CHECKS,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._adopt = adopt
        self._refused = refused
        self._parts = parts
        self._last_read = current.read_from
        self.status = FileStatus(current.policy.digest)

    async def run(self) -> None:
        """Follow the files until cancelled."""
        before = self._last_read
        while True:
            await asyncio.sleep(_LOOK_INTERVAL_S)
            now = _look(self._last_read)
            # A file that is still being written differs at every look.
            if now == before != self._last_read:
                await self._load()
                now = self._last_read
            before = now

    async def _load(self) -> None:
        # In threads: reading and compiling take longer than a check may wait.
        read_from = await asyncio.to_thread(_files, self._settings, self._environment)
        try:
            loaded = await asyncio.to_thread(
                load_configuration, self._settings, self._environment, self._parts
            )
        except ConfigurationError as error:
            self._last_read = read_from
            self._refuse(error.problems)
            return
        try:
            await self._adopt(loaded)
        except ListenError as error:
            # Not the files' fault: they count as unread, so the next look tries again.
            self._refuse((str(error),))
            return
        self._last_read = read_from
        self.status = FileStatus(loaded.policy.digest)
        _log.info("configuration in force", **_told(loaded))

    def _refuse(self, problems: tuple[str, ...]) -> None:
        self._refused()
        if self.status.problems != problems:  # the same at every try is told once
            self.status.problems = problems
            _log.error("configuration not in force, the last good one stays", problems=problems)


def _told(loaded: Configuration) -> Mapping[str, str | int]:
    told: dict[str, str | int] = {
        "policy": loaded.policy.digest,
        "keys": len(loaded.credentials.keys),
    }
    if loaded.descriptors is not None:
        told["descriptors"] = loaded.descriptors.digest
    return told


Files = Mapping[Path, tuple[int, int, int] | None]
"""Each file, and what tells one state of it from another; None for one that cannot be read."""


def _files(settings: Settings, environment: Mapping[str, str]) -> Files:
    others = (settings.keys_file, settings.pepper_file)
    named = (file for file in others if file is not None)
    folder = settings.ratelimit_dir
    of_descriptors = () if folder is None else watched_paths(folder)
    return _look((*policy_files(settings.policy_file, environment), *named, *of_descriptors))


def _look(files: Iterable[Path]) -> Files:
    return {file: _seen(file) for file in files}


def _seen(file: Path) -> tuple[int, int, int] | None:
    """Which file it is, how long, and since when."""
    try:
        found = file.stat()
    except (OSError, ValueError):  # missing, or a fragment's name that no file can have
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)
