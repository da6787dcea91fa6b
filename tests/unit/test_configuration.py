"""The files are followed: what is taken, what is refused, and what is waited for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from authz_service import configuration
from authz_service.configuration import (
    Configuration,
    ConfigurationWatch,
    Section,
    TokenParts,
    load_configuration,
)
from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.descriptor_rules import DescriptorRules
from authz_service.core.descriptors import Algorithm
from authz_service.core.identity import Identity
from authz_service.core.key_digest import Pepper, digest
from authz_service.core.verdict import Reason
from authz_service.descriptors.sources import load_descriptors
from authz_service.errors import ConfigurationError, ListenError
from authz_service.identity.jwks import read_jwks
from authz_service.identity.tokens import FixedKeys
from authz_service.settings import Settings, load_settings
from authz_service.testing.tokens import NOW_S, SECRET, claims, key_set, signer

POLICY = """
version: 1
tiers:
  free: {{rate: {rate}/minute, max_upload: 1MB}}
upstream: {{address: "127.0.0.1:8080"}}
routes:
  - {{name: all, match: {{method: GET, path: /}}}}
"""
KEYS = "[{name: one, tier: free, key: key-number-one}]"
LIMITS = """
domain: shop
descriptors: [{{key: user, rate_limit: {{unit: day, requests_per_unit: {user}}}}}]
"""
REVOKED = digest(b"key-number-one", None)
SOON_S = 5.0


@dataclass
class Files:
    """A policy and a key file, and what became of their changes."""

    folder: Path
    adopted: list[Configuration] = field(default_factory=list)
    judged: list[Configuration] = field(default_factory=list)
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

    @property
    def limits(self) -> Path:
        """The descriptor file, where there is one."""
        return self.folder / "limits" / "shop.yaml"

    def write_limits(self, *, user: int) -> None:
        """A descriptor file with this limit for users."""
        self.limits.parent.mkdir(exist_ok=True)
        self.limits.write_text(LIMITS.format(user=user))

    def settings(self) -> Settings:
        """Settings that name every file there is."""
        named = {"AUTHZ_POLICY_FILE": str(self.policy), "AUTHZ_KEYS_FILE": str(self.keys)}
        if self.limits.exists():
            named["AUTHZ_RATELIMIT_DIR"] = str(self.limits.parent)
        return load_settings(named)

    def watch(self, current: Configuration) -> ConfigurationWatch:
        """A watch that notes what it does."""
        return ConfigurationWatch(
            settings=self.settings(),
            environment={},
            current=current,
            adopt=self._adopt,
            judged=self.judged.append,
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
        before = watch.status.in_force["policy"]
        files.write_policy(rate=20)
        await soon(lambda: bool(files.adopted))

    assert files.rates() == [20]
    assert watch.status.in_force["policy"] == files.adopted[0].policy.digest != before


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
        before = watch.status.in_force["policy"]
        files.policy.write_text("version: 2\nroutes: []\n")
        files.keys.write_text("[{tier: free, key: canary-of-the-keys}]")
        await soon(lambda: bool(watch.status.problems))
        await soon(lambda: any("keys.yaml" in it for it in watch.status.problems))
        assert any("policy.yaml:1" in it for it in watch.status.problems)
        assert "canary" not in "\n".join(watch.status.problems)
        assert watch.status.in_force["policy"] == before
        assert not files.adopted
        assert [*files.judged[-1].refused] == [Section.POLICY]

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


def user_limit(configuration: Configuration) -> int:
    """How many requests a user may make by the descriptor file."""
    assert configuration.descriptors is not None
    ((_, limit),) = configuration.descriptors.limits()
    return limit.requests_per_unit


async def test_a_bad_descriptor_file_keeps_only_its_own_rules_back(files: Files) -> None:
    """A key that is revoked meanwhile is gone, and the last good limits stay; mended, it counts."""
    files.write_limits(user=5)
    async with files.watched() as watch:
        files.limits.write_text("domain: shop\nratelimit: 1\n")
        await soon(lambda: bool(watch.status.problems))
        assert watch.status.problems == ("shop.yaml: config error, unknown key 'ratelimit'",)
        assert [*watch.status.refused] == [Section.DESCRIPTORS]

        with capture_logs() as logs:
            files.keys.write_text(KEYS.replace("key-number-one", "key-number-two"))
            await soon(lambda: bool(files.adopted))
        assert REVOKED not in files.adopted[-1].credentials.keys
        assert user_limit(files.adopted[-1]) == 5
        assert [*watch.status.refused] == [*files.judged[-1].refused] == [Section.DESCRIPTORS]
        assert [it["event"] for it in logs] == ["configuration in force"]

        files.write_limits(user=6)
        await soon(lambda: user_limit(files.adopted[-1]) == 6)
        await soon(lambda: not watch.status.refused)


async def test_a_bad_policy_keeps_no_descriptor_rules_back(files: Files) -> None:
    """The new limits hold, the policy and its keys stay; the log says which part does not hold."""
    files.write_limits(user=5)
    with capture_logs() as logs:
        async with files.watched() as watch:
            before = watch.status.in_force["policy"]
            files.policy.write_text("version: 2\n")
            files.write_limits(user=6)
            await soon(lambda: bool(files.adopted) and bool(watch.status.refused))
            assert user_limit(files.adopted[-1]) == 6
            assert rate_of(files.adopted[-1], "free") == 10
            assert REVOKED in files.adopted[-1].credentials.keys
            assert (watch.status.in_force["policy"], [*watch.status.refused]) == (
                before,
                [Section.POLICY],
            )
    assert {it.get("part") for it in logs if it["log_level"] == "error"} == {"policy"}


async def test_what_only_envoy_has_to_wait_for_is_no_descriptor_rule(files: Files) -> None:
    """Where a new state cannot be put into force, the policy is what is told."""
    files.write_limits(user=5)
    async with files.watched() as watch:
        files.error = ListenError("cannot write to /run/authz: No space left on device")
        files.write_limits(user=6)
        await soon(lambda: watch.status.refused == {Section.POLICY: (str(files.error),)})


@pytest.mark.parametrize("text", ["domain: shop\n", "domain: shop\nratelimit: 1\n"])
async def test_descriptor_files_are_read_again_only_when_they_change(
    files: Files, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A reload of keys goes by what is known of them, right or wrong."""
    reads: list[Path] = []

    def counted(folder: Path, *, merge_domains: bool, algorithm: Algorithm) -> DescriptorRules:
        reads.append(folder)
        return load_descriptors(folder, merge_domains=merge_domains, algorithm=algorithm)

    monkeypatch.setattr(configuration, "load_descriptors", counted)
    files.write_limits(user=5)
    async with files.watched() as watch:
        files.keys.write_text("[]")
        await soon(lambda: len(files.judged) == 1)
        assert len(reads) == 1
        files.limits.write_text(text)
        await soon(lambda: len(files.judged) == 2)
        files.write_policy(rate=20)
        await soon(lambda: len(files.judged) == 3)
        assert len(reads) == 2
        assert [*watch.status.refused] == [Section.DESCRIPTORS] * ("ratelimit" in text)
    assert files.judged[1].descriptors is files.judged[2].descriptors


@pytest.mark.parametrize("text", ["domain: shop\n", "domain: shop\nratelimit: 1\n"])
async def test_policy_and_keys_are_read_again_only_when_they_change(
    files: Files, text: str
) -> None:
    """A reload of descriptor files goes by what is known; refused, nothing at all is adopted."""
    files.write_limits(user=5)
    with capture_logs() as logs:
        async with files.watched() as watch:
            before = load_configuration(files.settings(), {}).policy
            files.limits.write_text(text)
            await soon(lambda: len(files.judged) == 1)
            assert files.judged[0].read == {Section.DESCRIPTORS}
            assert [it.policy for it in files.adopted] == [before] * ("ratelimit" not in text)
            files.write_policy(rate=20)
            await soon(lambda: len(files.judged) == 2)
            assert files.judged[1].read == {Section.POLICY}
            assert [*watch.status.refused] == [Section.DESCRIPTORS] * ("ratelimit" in text)
    said = [it["event"] for it in logs if it["log_level"] == "info"]
    assert said == ["configuration in force"] * len(files.adopted)
    assert len(files.adopted) == 1 + ("ratelimit" not in text)


async def test_descriptor_files_are_not_read_for_every_try(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing can be put into force, the rules that were read are kept for the next try."""
    files.write_limits(user=5)
    async with files.watched() as watch:
        files.error = ListenError("cannot write to /run/authz: No space left on device")
        files.write_limits(user=6)
        await soon(lambda: bool(watch.status.refused))
        monkeypatch.setattr(configuration, "load_descriptors", None)
        files.error = None
        await soon(lambda: bool(files.adopted))
    assert user_limit(files.adopted[-1]) == 6


def test_problems_of_both_parts_stop_the_start_together(files: Files) -> None:
    """Either alone is enough; all of them are told."""
    files.write_limits(user=5)
    files.limits.write_text("domain: shop\nratelimit: 1\n")
    told = []
    for policy in (files.policy.read_text(), "version: 2\n"):
        files.policy.write_text(policy)
        with pytest.raises(ConfigurationError) as caught:
            load_configuration(files.settings(), {})
        told.append(caught.value.problems)
    alone, (*of_policy, last) = told
    assert alone == ("shop.yaml: config error, unknown key 'ratelimit'",)
    assert last == alone[0]
    assert "policy.yaml:1: version" in "\n".join(of_policy)


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


ONE, TWO = signer("ES256", "one"), signer("ES256", "two")
PROVIDER = """
jwt:
  - name: login
    issuer: https://login.example.com/
    audiences: [things]
    algorithms: [{algorithm}]
    {keys}
"""


def token_settings(files: Files, **more: str) -> Settings:
    """Settings with these variables beside the files."""
    return load_settings({"AUTHZ_POLICY_FILE": str(files.policy), **more})


def verified(configuration: Configuration, token: bytes) -> Identity | Reason:
    """What becomes of a token."""
    return configuration.credentials.verify_token(token, NOW_S * 1000)


async def test_a_key_file_of_a_provider_is_followed(files: Files) -> None:
    """A rotated key comes into force, a bad file does not, and its reason is told."""
    key_file = files.folder / "login.pem"
    key_file.write_bytes(ONE.pem())
    files.write_policy(rate=10, more=PROVIDER.format(algorithm="ES256", keys="pem_file: login.pem"))
    async with files.watched() as watch:
        key_file.write_bytes(b"-----BEGIN canary-of-the-key-----")
        await soon(lambda: bool(watch.status.problems))
        assert watch.status.problems == (
            f"jwt provider login: {key_file}: is no public key in PEM form (BEGIN PUBLIC KEY)",
        )
        assert not files.adopted
        key_file.write_bytes(TWO.pem())
        await soon(lambda: bool(files.adopted))

    assert isinstance(verified(files.adopted[-1], TWO.token()), Identity)
    assert verified(files.adopted[-1], ONE.token()) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("key", ["secret_file", "pem_file", "jwks_file", "jwks_ca_file"])
async def test_every_file_that_a_provider_names_is_followed(files: Files, key: str) -> None:
    """The one that is missing comes, and is looked at."""
    more = "jwks_url: https://login.example.com/\n    " if key == "jwks_ca_file" else ""
    algorithm = "HS256" if key == "secret_file" else "ES256"
    async with files.watched() as watch:
        files.write_policy(
            rate=20, more=PROVIDER.format(algorithm=algorithm, keys=f"{more}{key}: late")
        )
        await soon(lambda: any("late: cannot be read" in it for it in watch.status.problems))
        (files.folder / "late").write_text("short")
        await soon(lambda: any("late: " in it and "read" not in it for it in watch.status.problems))


def test_problems_of_providers_are_told_with_all_others(files: Files) -> None:
    """Policy and keys may be right, and a provider's file missing."""
    files.write_policy(rate=10, more=PROVIDER.format(algorithm="ES256", keys="jwks_file: gone"))
    files.keys.write_text("[{}]")
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(files.settings(), {})
    told = "\n".join(caught.value.problems)
    assert "jwt provider login: " in told
    assert "keys.yaml:1: [0]" in told


def test_a_secret_of_a_variable_comes_from_the_environment(files: Files) -> None:
    """By the name that the policy says."""
    files.write_policy(rate=10, more=PROVIDER.format(algorithm="HS256", keys="secret_env: LOGIN"))
    loaded = load_configuration(token_settings(files), {"LOGIN": SECRET.decode()})
    assert isinstance(verified(loaded, signer("HS256").token()), Identity)


def test_keys_behind_a_url_are_asked_for(files: Files) -> None:
    """Of whoever fetches in this process; in others there are none."""
    more = PROVIDER.format(algorithm="ES256", keys="jwks_url: https://login.example.com/")
    files.write_policy(rate=10, more=more)
    assert (
        verified(load_configuration(token_settings(files), {}), ONE.token())
        is Reason.SIGNING_KEYS_UNAVAILABLE
    )
    keys = FixedKeys(read_jwks(key_set(ONE.jwk()), frozenset({"ES256"})))
    parts = TokenParts(remote=lambda *_: keys)
    loaded = load_configuration(token_settings(files), {}, parts)
    assert isinstance(verified(loaded, ONE.token()), Identity)
    assert loaded.credentials.tokens.sources == (keys,)


def test_a_secret_alone_makes_a_provider(files: Files) -> None:
    """Any issuer, any audience, HS256, every tier of the policy; free without a claim."""
    more = "  pro: {rate: 60/minute, max_upload: 1MB}\n  anonymous: {max_upload: 1MB}\n"
    files.policy.write_text(POLICY.format(rate=10).replace("upstream", f"{more}upstream", 1))
    loaded = load_configuration(token_settings(files, JWT_SECRET=SECRET.decode()), {})
    simple = signer("HS256")
    for said, tier in (
        (claims(), "free"),
        (claims(iss=None, aud=None, tier="pro"), "pro"),
        (claims(iss="x", aud=7), "free"),
    ):
        found = verified(loaded, simple.token(said))
        assert isinstance(found, Identity)
        assert (found.subject, found.tier) == ("jwt:default:ada", tier)
    for tier in ("anonymous", "enterprise"):
        assert verified(loaded, simple.token(claims(tier=tier))) is Reason.TIER_NOT_GRANTED
    longer = signer("HS512").token()
    assert verified(loaded, longer) is Reason.ALGORITHM_NOT_ALLOWED


def test_without_a_secret_nobody_is_trusted(files: Files) -> None:
    """A token of the right form is nobody's."""
    loaded = load_configuration(token_settings(files), {})
    assert verified(loaded, signer("HS256").token()) is Reason.UNKNOWN_ISSUER


def test_a_secret_needs_a_tier_for_its_tokens(files: Files) -> None:
    """A policy without one cannot say what a token without a tier may do."""
    files.policy.write_text(POLICY.format(rate=10).replace("free", "basic"))
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(token_settings(files, JWT_SECRET=SECRET.decode()), {})
    assert caught.value.problems == (
        "JWT_SECRET: needs a tier named 'free', for tokens that name no tier",
    )


def test_a_secret_takes_no_name_of_the_policy(files: Files) -> None:
    """Subjects of two providers must not be one."""
    more = PROVIDER.format(algorithm="ES256", keys="pem_file: login.pem")
    files.write_policy(rate=10, more=more.replace("name: login", "name: default"))
    (files.folder / "login.pem").write_bytes(ONE.pem())
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(token_settings(files, JWT_SECRET=SECRET.decode()), {})
    assert caught.value.problems == (
        "JWT_SECRET: makes a provider named 'default', and the policy has one of that name",
    )
