"""What the files say: policy and keys as one part, descriptor files as another, and their changes.

Each part is whole or is not taken: while its newest files are wrong, the last good ones hold.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from authz_service.core.descriptor_rules import DescriptorRules
from authz_service.core.provider import JWT_SECRET
from authz_service.core.rules import Policy
from authz_service.descriptors.sources import load_descriptors, watched_paths
from authz_service.errors import ConfigurationError, ListenError
from authz_service.file_states import LOOK_INTERVAL_S, Files, look
from authz_service.identity.api_keys import Source, load_api_keys
from authz_service.identity.credentials import Credentials
from authz_service.identity.key_sources import Remote, nobody_fetches, trust
from authz_service.identity.peppers import load_peppers
from authz_service.identity.simple_provider import simple_provider
from authz_service.identity.tokens import TokenVerifier
from authz_service.policy.absent import NO_POLICY
from authz_service.policy.sources import load_policy, policy_files
from authz_service.settings import Settings

_log = structlog.get_logger(__name__)

T = TypeVar("T")


class Section(StrEnum):
    """What is taken or refused as a whole."""

    POLICY = "policy"  # with all keys and peppers
    DESCRIPTORS = "descriptors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Callers:
    """Who may do what: the policy, and the credentials that go with it."""

    policy: Policy
    credentials: Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class State(Generic[T]):
    """What one state of the files of a part comes to: a value, or problems."""

    files: Files
    value: T | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The newest state of the files of each part."""

    policy: State[Callers]
    descriptors: State[DescriptorRules | None]

    @property
    def files(self) -> Files:
        """Those of all parts."""
        return {**self.policy.files, **self.descriptors.files}


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What is in force, each part whole and checked.

    `read` has the parts that were read for it; the files of the others look as they did before.
    `refused` has the problems of a part whose newest files are wrong; the part itself is then the
    last good one.
    """

    callers: Callers
    descriptors: DescriptorRules | None
    newest: Newest
    read: frozenset[Section]
    refused: Mapping[Section, tuple[str, ...]] = field(default_factory=dict)

    @property
    def policy(self) -> Policy:
        """Who may do what."""
        return self.callers.policy

    @property
    def credentials(self) -> Credentials:
        """How callers are known."""
        return self.callers.credentials


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
    newest = _newest(settings, environment, parts)
    problems = [*newest.policy.problems, *newest.descriptors.problems]
    if newest.policy.value is None or problems:
        raise ConfigurationError(problems)
    return Configuration(
        callers=newest.policy.value,
        descriptors=newest.descriptors.value,
        newest=newest,
        read=frozenset(Section),
    )


def reload_configuration(
    settings: Settings,
    environment: Mapping[str, str],
    current: Configuration,
    parts: TokenParts = _NO_CHECKS,
) -> Configuration:
    """The same, but a part that is wrong stays as it is in `current`.

    Files of a part that all look as they did there are not read again.
    """
    known = current.newest
    newest = _newest(settings, environment, parts, known)
    policy, descriptors = newest.policy, newest.descriptors
    was_read = {
        Section.POLICY: policy is not known.policy,
        Section.DESCRIPTORS: descriptors is not known.descriptors,
    }
    refused = {Section.POLICY: policy.problems, Section.DESCRIPTORS: descriptors.problems}
    return Configuration(
        callers=current.callers if policy.value is None else policy.value,
        descriptors=current.descriptors if descriptors.problems else descriptors.value,
        newest=newest,
        read=frozenset(section for section, is_so in was_read.items() if is_so),
        refused={section: found for section, found in refused.items() if found},
    )


def _newest(
    settings: Settings,
    environment: Mapping[str, str],
    parts: TokenParts,
    known: Newest | None = None,
) -> Newest:
    return Newest(
        policy=_state(
            _policy_files(settings, environment),
            lambda: _callers(settings, environment, parts),
            known.policy if known else None,
        ),
        descriptors=_state(
            _descriptor_files(settings),
            lambda: load_rules(settings),
            known.descriptors if known else None,
        ),
    )


def _state(files: Files, load: Callable[[], T], known: State[T] | None) -> State[T]:
    """What the files come to, read unless they look as they did.

    `files` are looked at before they are read: what changes meanwhile then differs at the next
    look.
    """
    if known is not None and files == known.files:
        return known
    try:
        return State(files=files, value=load())
    except ConfigurationError as error:
        return State(files=files, problems=error.problems)


def _callers(settings: Settings, environment: Mapping[str, str], parts: TokenParts) -> Callers:
    """Raises: ConfigurationError: with every problem of policy, keys and peppers."""
    problems: list[str] = []
    policy = keys = tokens = peppers = None
    try:
        file = settings.policy_file
        policy = NO_POLICY if file is None else load_policy(file, environment)
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
    if problems or policy is None or keys is None or tokens is None or peppers is None:
        raise ConfigurationError(problems)
    return Callers(policy=policy, credentials=Credentials(keys=keys, tokens=tokens))


def load_rules(settings: Settings) -> DescriptorRules | None:
    """The rules by descriptor, None where there are no files of them.

    Raises:
        ConfigurationError: with every problem of every file.
    """
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
        folder=settings.policy_file.parent if settings.policy_file else Path(),
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


@dataclass(frozen=True, slots=True)
class FileStatus:
    """What is in force, and the problems of the parts whose newest files are not."""

    in_force: Mapping[str, str | int]
    refused: Mapping[Section, tuple[str, ...]] = field(default_factory=dict)

    @property
    def problems(self) -> tuple[str, ...]:
        """Those of all parts; none while everything is in force."""
        return tuple(problem for of_part in self.refused.values() for problem in of_part)


class ConfigurationWatch:
    """Loads the files anew when they change; a bad state of a part changes nothing of it.

    `adopt` puts a part that changed into force. `judged` is told of every load, also of one that
    changes nothing, and of what was read for it.

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
        judged: Callable[[Configuration], None] = lambda _: None,
        parts: TokenParts = _NO_CHECKS,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._adopt = adopt
        self._judged = judged
        self._parts = parts
        self._current = current
        self._last_read = current.newest.files
        self.status = FileStatus(digests(current))

    async def run(self) -> None:
        """Follow the files until cancelled."""
        before = self._last_read
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            now = look(self._last_read)
            # A file that is still being written differs at every look.
            if now == before != self._last_read:
                await self._load()
                now = self._last_read
            before = now

    async def _load(self) -> None:
        # In a thread: reading and compiling take longer than a check may wait.
        loaded = await asyncio.to_thread(
            reload_configuration, self._settings, self._environment, self._current, self._parts
        )
        is_news = not (
            loaded.callers is self._current.callers
            and loaded.descriptors is self._current.descriptors
        )
        if is_news:
            try:
                await self._adopt(loaded)
            except ListenError as error:
                # Not the files' fault: they count as unseen, so the next look tries again.
                self._current = replace(self._current, newest=loaded.newest)
                self._tell({**loaded.refused, Section.POLICY: (str(error),)})
                return
            _log.info("configuration in force", **digests(loaded))
        self._current = loaded
        self._last_read = loaded.newest.files
        self._judged(loaded)
        self._tell(loaded.refused)

    def _tell(self, refused: Mapping[Section, tuple[str, ...]]) -> None:
        before = self.status.refused
        self.status = FileStatus(digests(self._current), refused)
        for part, problems in refused.items():
            if problems != before.get(part):  # the same at every try is told once
                _log.error(
                    "configuration not in force, the last good one stays",
                    part=part.value,
                    problems=problems,
                )


def digests(loaded: Configuration) -> Mapping[str, str | int]:
    """Which configuration it is, for logs and `/readyz`: digests and numbers."""
    told: dict[str, str | int] = {
        "policy": loaded.policy.digest,
        "keys": len(loaded.credentials.keys),
    }
    if loaded.descriptors is not None:
        told["descriptors"] = loaded.descriptors.digest
        told["domains"] = len(loaded.descriptors.domains)
    return told


def _policy_files(settings: Settings, environment: Mapping[str, str]) -> Files:
    policy, others = settings.policy_file, (settings.keys_file, settings.pepper_file)
    of_policy = () if policy is None else policy_files(policy, environment)
    return look((*of_policy, *(file for file in others if file is not None)))


def _descriptor_files(settings: Settings) -> Files:
    folder = settings.ratelimit_dir
    return {} if folder is None else look(watched_paths(folder))
