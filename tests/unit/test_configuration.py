"""The files are followed: what is taken, what is refused, and what is waited for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from authz_service.configuration import Configuration, ConfigurationWatch, load_configuration
from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.key_digest import Pepper, digest
from authz_service.core.verdict import Reason
from authz_service.errors import ConfigurationError, ListenError
from authz_service.settings import Settings, load_settings

POLICY = """
version: 1
tiers:
  free: {{rate: {rate}/minute, max_upload: 1MB}}
upstream: {{address: "127.0.0.1:8080"}}
routes:
  - {{name: all, match: {{method: GET, path: /}}}}
"""
KEYS = "[{name: one, tier: free, key: key-number-one}]"
SOON_S = 5.0


@dataclass
class Files:
    """A policy and a key file, and what became of their changes."""

    folder: Path
    adopted: list[Configuration] = field(default_factory=list)
    refusals: int = 0
    error: Exception | None = None

    def __post_init__(self) -> None:
        """Write the first state."""
        self.write_policy(rate=10)
        self.keys.write_text(KEYS)

    @property
    def policy(self) -> Path:
        """The policy file."""
        return self.folder / "policy.yaml"

    @property
    def keys(self) -> Path:
        """The key file."""
        return self.folder / "keys.yaml"

    def write_policy(self, *, rate: int, more: str = "") -> None:
        """A policy with this rate."""
        self.policy.write_text(POLICY.format(rate=rate) + more)

    def settings(self) -> Settings:
        """Settings that name both files."""
        return load_settings(
            {"AUTHZ_POLICY_FILE": str(self.policy), "AUTHZ_KEYS_FILE": str(self.keys)}
        )

    def watch(self, current: Configuration) -> ConfigurationWatch:
        """A watch that notes what it does."""
        return ConfigurationWatch(
            settings=self.settings(),
            environment={},
            current=current,
            adopt=self._adopt,
            refused=self._refused,
        )

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[ConfigurationWatch]:
        """The files, followed."""
        watch = self.watch(load_configuration(self.settings(), {}))
        async with running(watch):
            yield watch

    def rates(self) -> list[int]:
        """The rate of every policy that came into force."""
        return [rate_of(it, "free") for it in self.adopted]

    async def _adopt(self, loaded: Configuration) -> None:
        if self.error is not None:
            raise self.error
        self.adopted.append(loaded)

    def _refused(self) -> None:
        self.refusals += 1


def rate_of(configuration: Configuration, tier: str) -> int:
    """How many requests of a tier may pass."""
    rate = configuration.policy.tiers[tier].rate
    assert rate is not None
    return rate.limit


@asynccontextmanager
async def running(watch: ConfigurationWatch) -> AsyncIterator[None]:
    """The watch at work."""
    task = asyncio.create_task(watch.run())
    try:
        yield
        assert not task.done(), "the watch has ended"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def soon(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(SOON_S):
        while not is_so():  # noqa: ASYNC110 - the watch looks at files: nobody tells it either
            await asyncio.sleep(0.01)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Both files, good ones."""
    return Files(tmp_path)


async def test_a_changed_policy_comes_into_force(files: Files) -> None:
    """It is adopted once, and its digest is told."""
    async with files.watched() as watch:
        before = watch.status.digest
        files.write_policy(rate=20)
        await soon(lambda: bool(files.adopted))

    assert files.rates() == [20]
    assert watch.status.digest == files.adopted[0].policy.digest != before


async def test_a_changed_key_file_comes_into_force(files: Files) -> None:
    """A key is gone and another is there."""
    async with files.watched():
        files.keys.write_text(KEYS.replace("key-number-one", "key-number-two"))
        await soon(lambda: bool(files.adopted))

    find = files.adopted[0].credentials.keys.find
    assert find(b"key-number-one") is Reason.UNKNOWN_KEY
    assert isinstance(find(b"key-number-two"), ApiKeyRecord)


async def test_a_change_between_reading_and_watching_is_seen(files: Files) -> None:
    """A worker that starts while the files change does not decide by the old ones for ever."""
    current = load_configuration(files.settings(), {})
    files.write_policy(rate=20)

    async with running(files.watch(current)):
        await soon(lambda: bool(files.adopted))

    assert files.rates() == [20]


async def test_a_bad_state_changes_nothing_and_a_good_one_recovers(files: Files) -> None:
    """Every problem of both files is told; nothing of them is adopted."""
    async with files.watched() as watch:
        before = watch.status.digest
        files.policy.write_text("version: 2\nroutes: []\n")
        files.keys.write_text("[{tier: free, key: canary-of-the-keys}]")
        await soon(lambda: bool(watch.status.problems))
        await soon(lambda: any("keys.yaml" in it for it in watch.status.problems))
        assert any("policy.yaml:1" in it for it in watch.status.problems)
        assert "canary" not in "\n".join(watch.status.problems)
        assert watch.status.digest == before
        assert not files.adopted
        assert files.refusals

        files.write_policy(rate=20)
        files.keys.write_text(KEYS)
        await soon(lambda: not watch.status.problems)

    assert files.rates()[-1] == 20


async def test_a_missing_file_is_a_bad_state_like_any_other(files: Files) -> None:
    """Removed and put back: the watch lives on."""
    async with files.watched() as watch:
        files.policy.unlink()
        await soon(lambda: watch.status.problems != ())
        assert "policy.yaml: cannot be read: No such file" in watch.status.problems[0]

        files.write_policy(rate=20)
        await soon(lambda: files.rates() == [20])


@pytest.mark.parametrize("name", [r"a\0b", r"\uD800"])
async def test_a_fragment_that_cannot_exist_is_a_bad_state_like_any_other(
    files: Files, name: str
) -> None:
    """No file name can end the service."""
    async with files.watched() as watch:
        files.write_policy(rate=20, more=f'include: ["{name}"]\n')
        await soon(lambda: watch.status.problems != ())

        files.write_policy(rate=30)
        await soon(lambda: files.rates() == [30])


async def test_a_fragment_is_followed_from_the_moment_it_is_named(files: Files) -> None:
    """A change of the fragment alone is a change."""
    fragment = files.folder / "more.yaml"
    fragment.write_text("tiers: {extra: {rate: 1/minute, max_upload: 1MB}}\n")
    async with files.watched():
        files.write_policy(rate=20, more="include: [more.yaml]\n")
        await soon(lambda: len(files.adopted) == 1)
        fragment.write_text("tiers: {extra: {rate: 22/minute, max_upload: 1MB}}\n")
        await soon(lambda: len(files.adopted) == 2)

    assert rate_of(files.adopted[-1], "extra") == 22


async def test_a_file_is_left_alone_while_it_is_being_written(files: Files) -> None:
    """A policy that differs at every look is none yet; the last one counts."""
    async with files.watched():
        for rate in range(20, 30):
            files.write_policy(rate=rate)
            await asyncio.sleep(0.05)
        assert files.rates() == []
        await soon(lambda: bool(files.adopted))

    assert files.rates() == [29]


async def test_what_cannot_be_put_into_force_is_told_and_tried_again(files: Files) -> None:
    """A full disk under Envoy's files is no reason to end; when there is room, it is taken."""
    async with files.watched() as watch:
        files.error = ListenError("cannot write to /run/authz: No space left on device")
        files.write_policy(rate=20)
        await soon(lambda: watch.status.problems == (str(files.error),))

        files.error = None
        await soon(lambda: files.rates() == [20])
        await soon(lambda: watch.status.problems == ())


def test_problems_of_both_files_are_told_together(files: Files) -> None:
    """At the start one reads everything that is wrong at once."""
    files.policy.write_text("version: 2\n")
    files.keys.write_text("[{}]")

    with pytest.raises(ConfigurationError) as caught:
        load_configuration(files.settings(), {})

    told = "\n".join(caught.value.problems)
    assert "policy.yaml:1: version" in told
    assert "keys.yaml:1: [0]" in told


PEPPERS = ("first-pepper-" + "1" * 32, "second-pepper-" + "2" * 32)


def with_peppers(files: Files, *peppers: str) -> Settings:
    """Settings that name a pepper file as well."""
    (files.folder / "peppers").write_text("".join(f"{pepper}\n" for pepper in peppers))
    return files.settings().model_copy(update={"pepper_file": files.folder / "peppers"})


def test_plain_keys_are_held_under_the_pepper_in_use(files: Files) -> None:
    """The first line of the file."""
    keys = load_configuration(with_peppers(files, *PEPPERS), {}).credentials.keys

    assert digest(b"key-number-one", Pepper(PEPPERS[0].encode())) in keys
    assert [pepper.secret.decode() for pepper in keys.peppers] == [*PEPPERS]


def test_a_wrong_pepper_file_is_told_with_everything_else(files: Files) -> None:
    """Policy, peppers and keys are judged in one go."""
    settings = with_peppers(files, "canary")
    files.write_policy(rate=0)
    files.keys.write_text("[{name: one}]")

    with pytest.raises(ConfigurationError) as caught:
        load_configuration(settings, {})

    assert len(caught.value.problems) == 3
    assert any("peppers:1: must be 32" in problem for problem in caught.value.problems)
    assert "canary" not in str(caught.value)


async def test_a_new_pepper_comes_into_force(files: Files) -> None:
    """Rotation: the file is followed like the others."""
    settings = with_peppers(files, PEPPERS[0])
    watch = ConfigurationWatch(
        settings=settings,
        environment={},
        current=load_configuration(settings, {}),
        adopt=files._adopt,
    )
    async with running(watch):
        with_peppers(files, *reversed(PEPPERS))
        await soon(lambda: bool(files.adopted))

    keys = files.adopted[0].credentials.keys
    assert digest(b"key-number-one", Pepper(PEPPERS[1].encode())) in keys
    assert isinstance(keys.find(b"key-number-one"), ApiKeyRecord)
