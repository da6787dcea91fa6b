"""What a verified token is believed: its type, its moments, whom it is for, and who it is."""

from dataclasses import replace

import pytest

from authz_service.core.claims import Grant, judge
from authz_service.core.identity import Identity, Method
from authz_service.core.token import Token
from authz_service.core.verdict import Reason
from authz_service.testing.tokens import AUDIENCE, NOW_S, claims, provider

NOW_MS = NOW_S * 1000
LEEWAY_S = 30
PROVIDER = provider()
INVALID = Reason.INVALID_CLAIM


def judged(
    said: dict[str, object] | None = None,
    *,
    now_ms: int = NOW_MS,
    typ: str | None = "JWT",
    **changes: object,
) -> Grant | Reason:
    """What becomes of these claims, with `changes` to the provider."""
    token = Token(
        algorithm="RS256",
        key_id=None,
        type=typ,
        claims=claims() if said is None else said,
        signed=b"",
        signature=b"",
    )
    return judge(token, replace(PROVIDER, **changes), now_ms)  # type: ignore[arg-type]


def identity(said: dict[str, object], **changes: object) -> Identity:
    """The caller these claims are of."""
    grant = judged(said, **changes)  # type: ignore[arg-type]
    assert isinstance(grant, Grant), grant
    return grant.identity


def test_claims_make_a_caller() -> None:
    """Subject under the provider's name, tier and scopes as the token says."""
    assert identity(claims(tier="pro", scope="read write")) == Identity(
        subject="jwt:login:ada", tier="pro", method=Method.JWT, scopes=("read", "write")
    )


def test_claims_have_the_names_that_the_policy_says() -> None:
    """Other claims of the usual names mean nothing then."""
    said = claims(sub="wrong", tier="free", scope="wrong", uid="ada", scp=["read"])
    caller = identity(
        {**said, "https://x.example/plan": "pro"},
        subject_claim="uid",
        tier_claim="https://x.example/plan",
        scope_claim="scp",
    )
    assert (caller.subject, caller.tier, caller.scopes) == ("jwt:login:ada", "pro", ("read",))


@pytest.mark.parametrize(
    ("typ", "types", "is_accepted"),
    [
        ("JWT", {"jwt"}, True),
        ("jwt", {"jwt"}, True),
        ("application/jwt", {"jwt"}, True),
        ("Application/AT+JWT", {"at+jwt"}, True),
        (None, {"jwt"}, True),  # no type is the plain one
        (None, {"at+jwt"}, False),
        ("JWT", {"at+jwt"}, False),
        ("", {"jwt"}, False),
        ("application/", {"jwt"}, False),
        ("application/application/jwt", {"jwt"}, False),
        ("id+jwt", {"jwt", "at+jwt"}, False),
        ("dpop+jwt", {"jwt", "at+jwt"}, False),
    ],
)
def test_only_listed_types_are_accepted(
    typ: str | None, types: set[str], *, is_accepted: bool
) -> None:
    """A logout or a refresh token is no access token, whoever signed it."""
    found = judged(typ=typ, types=frozenset(types))
    assert found is Reason.WRONG_TOKEN_TYPE or is_accepted
    assert isinstance(found, Grant) is is_accepted


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value",
    [str(NOW_S), "", True, False, None, [], [NOW_S], {}, -1, -0.5, float("nan"), float("inf")],
)
def test_a_moment_is_a_finite_number_that_is_not_negative(name: str, value: object) -> None:
    """Nothing is converted: the text of a number is no number, and true is not 1."""
    assert judged({**claims(), name: value}) is INVALID


def test_a_token_that_never_ends_is_refused() -> None:
    """Without `exp` it would be good for ever."""
    assert judged(claims(exp=None)) is INVALID


@pytest.mark.parametrize(
    ("exp_ms", "leeway_ms", "is_expired"),
    [
        (NOW_MS, 0, True),
        (NOW_MS + 1, 0, False),
        (NOW_MS - 30_000, 30_000, True),
        (NOW_MS - 29_999, 30_000, False),
    ],
)
def test_a_token_ends_at_the_moment_it_says_plus_the_leeway(
    exp_ms: int, leeway_ms: int, *, is_expired: bool
) -> None:
    """`exp` itself is already too late (RFC 7519 section 4.1.4), to the millisecond."""
    found = judged(claims(exp=exp_ms / 1000, iat=None), leeway_ms=leeway_ms)
    assert (found is Reason.EXPIRED_TOKEN) is is_expired
    assert isinstance(found, Grant) is not is_expired


@pytest.mark.parametrize("name", ["nbf", "iat"])
@pytest.mark.parametrize(
    ("begins_ms", "leeway_ms", "is_early"),
    [
        (NOW_MS, 0, False),
        (NOW_MS + 1, 0, True),
        (NOW_MS + 30_000, 30_000, False),
        (NOW_MS + 30_001, 30_000, True),
    ],
)
def test_a_token_begins_at_the_moment_it_says_minus_the_leeway(
    name: str, begins_ms: int, leeway_ms: int, *, is_early: bool
) -> None:
    """The moment itself is early enough; `iat` in the future is a clock that nobody trusts."""
    said = claims(iat=None, exp=NOW_S + 600)
    found = judged({**said, name: begins_ms / 1000}, leeway_ms=leeway_ms)
    assert (found is Reason.TOKEN_NOT_YET_VALID) is is_early
    assert isinstance(found, Grant) is not is_early


@pytest.mark.parametrize(
    ("iat", "exp", "is_too_long"),
    [
        (NOW_S - 10, NOW_S + 590, False),
        (NOW_S - 10, NOW_S + 591, True),
        (None, NOW_S + 600, False),
        (None, NOW_S + 601, True),
        (None, 1e308, True),
        (0, NOW_S + 1, True),
    ],
)
def test_a_token_may_not_live_too_long(iat: int | None, exp: float, *, is_too_long: bool) -> None:
    """From `iat` to `exp`, or from now where it does not say since when."""
    found = judged(claims(iat=iat, exp=exp), max_lifetime_ms=600_000)
    assert (found is Reason.TOKEN_LIVES_TOO_LONG) is is_too_long
    assert isinstance(found, Grant) is not is_too_long


@pytest.mark.parametrize(
    ("said", "from_ms"),
    [
        (claims(), NOW_MS - 10_000 - 30_000),
        (claims(nbf=NOW_S - 5), NOW_MS - 5_000 - 30_000),
        (claims(iat=None), NOW_MS + 600_000 - 86_400_000),
        (claims(iat=None, nbf=NOW_S), NOW_MS - 30_000),
    ],
)
def test_a_grant_says_when_it_holds(said: dict[str, object], from_ms: float) -> None:
    """Until `exp` without leeway; from the first moment at which the same token passes."""
    grant = judged(said)
    assert isinstance(grant, Grant)
    assert (grant.from_ms, grant.until_ms) == (from_ms, (NOW_S + 600) * 1000)
    assert isinstance(judged(said, now_ms=int(grant.from_ms)), Grant)
    assert isinstance(judged(said, now_ms=int(grant.from_ms) - 1), Reason)


@pytest.mark.parametrize(
    ("aud", "expected"),
    [
        (AUDIENCE, None),
        ([AUDIENCE], None),
        (["other", AUDIENCE], None),
        ("other", Reason.WRONG_AUDIENCE),
        (AUDIENCE.upper(), Reason.WRONG_AUDIENCE),
        (AUDIENCE + "/", Reason.WRONG_AUDIENCE),
        (AUDIENCE[:-1], Reason.WRONG_AUDIENCE),
        (None, Reason.WRONG_AUDIENCE),
        ("", Reason.WRONG_AUDIENCE),
        ([], Reason.WRONG_AUDIENCE),
        (["other"], Reason.WRONG_AUDIENCE),
        (1, INVALID),
        (True, INVALID),
        ({AUDIENCE: 1}, INVALID),
        ([AUDIENCE, 1], INVALID),
        ([[AUDIENCE]], INVALID),
    ],
)
def test_a_token_must_be_meant_for_us(aud: object, expected: Reason | None) -> None:
    """One of its audiences is one of ours, letter by letter."""
    found = judged(claims(aud=aud))
    assert isinstance(found, Grant) if expected is None else found is expected


def test_without_audiences_none_is_asked_for() -> None:
    """The simple provider takes tokens that are meant for anyone."""
    for aud in (None, "other", 1):
        assert isinstance(judged(claims(aud=aud), audiences=frozenset()), Grant)


@pytest.mark.parametrize(
    "sub",
    [
        *(None, "", 7, True, ["ada"], {"id": "ada"}),
        *("a" * 257, "a b", "a\r\nx-authz-tier: pro", "a\x00", "a\x7f", "ä", "\ud800", "ada "),
        *("key:acme", "a:b", "*", "a*"),
    ],
)
def test_a_subject_that_could_be_taken_for_another_is_refused(sub: object) -> None:
    """It stands in headers, counters and logs: no text of strangers is cleaned there."""
    said: dict[str, object] = {**claims(), "sub": sub}
    assert judged(said) is INVALID


@pytest.mark.parametrize("sub", ["a", "a" * 256, "auth0|5f7c", "ada@example.com", "{a}/b,c;d"])
def test_usual_subjects_are_accepted(sub: str) -> None:
    """Printable ASCII but space, colon and star."""
    assert identity(claims(sub=sub)).subject == f"jwt:login:{sub}"


def test_a_token_without_a_tier_has_the_default_one() -> None:
    """Never more than that."""
    assert identity(claims()).tier == "free"
    assert identity(claims(), default_tier="pro").tier == "pro"


@pytest.mark.parametrize(
    ("tier", "reason"),
    [
        ("enterprise", Reason.TIER_NOT_GRANTED),  # a tier, but not of this provider
        ("anonymous", Reason.TIER_NOT_GRANTED),
        ("gold", Reason.TIER_NOT_GRANTED),
        ("PRO", Reason.TIER_NOT_GRANTED),
        ("pro ", Reason.TIER_NOT_GRANTED),
        ("", Reason.TIER_NOT_GRANTED),
        (None, INVALID),
        (["pro"], INVALID),
        (1, INVALID),
        ({"pro": True}, INVALID),
    ],
)
def test_a_tier_that_is_not_granted_is_refused(tier: object, reason: Reason) -> None:
    """Neither upward nor down: what the issuer means is unknown then."""
    assert judged({**claims(), "tier": tier}) is reason


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("", ()),
        ([], ()),
        ("read", ("read",)),
        ("read write", ("read", "write")),
        (["read", "https://api.example.com/write"], ("read", "https://api.example.com/write")),
        (" ".join(["x"] * 64), ("x",) * 64),
        (" ".join(["x"] * 65), None),
        (["x"] * 65, None),
        ("read  write", None),
        (" read", None),
        (["read write"], None),
        (["x" * 129], None),
        ([""], None),
        (["a,b"], None),
        (["a\r\nb"], None),
        ([1], None),
        (None, None),
        (1, None),
        ({"read": True}, None),
    ],
)
def test_scopes_are_few_and_plain(scope: object, expected: tuple[str, ...] | None) -> None:
    """One text with single spaces, or a list; at most 64, each as a key's scope may be."""
    said: dict[str, object] = {**claims(), "scope": scope}
    if expected is None:
        assert judged(said) is INVALID
    else:
        assert identity(said).scopes == expected
