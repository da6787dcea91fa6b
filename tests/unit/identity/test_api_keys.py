"""API_KEYS: what is accepted, what is refused, and that no key is ever repeated."""

import hashlib
import json
from ipaddress import ip_network
from typing import Any

import pytest

from authz_service.core.api_key import ApiKeyRecord, make_key
from authz_service.core.key_digest import Pepper, digest, spell_digest
from authz_service.core.rules import Overrides, Period, Rate
from authz_service.core.verdict import Reason
from authz_service.errors import ConfigurationError
from authz_service.identity.api_keys import Source, load_api_keys
from authz_service.identity.key_index import KeyIndex
from authz_service.testing.builders import PlantedSecrets

TIERS = ("free", "pro")
KEY = "sk-0123456789"
SHA256 = hashlib.sha256(KEY.encode()).hexdigest()
ENTRY: dict[str, Any] = {"key": KEY, "name": "A key", "tier": "free"}
PEPPER, OLD_PEPPER = Pepper(b"a-pepper-" + b"1" * 32), Pepper(b"a-pepper-" + b"2" * 32)
PEPPERS = (PEPPER, OLD_PEPPER)


def hmac_of(key: str, pepper: Pepper) -> str:
    """The value of `key_hmac` for a key."""
    return spell_digest(digest(key.encode(), pepper)).removeprefix("hmac-sha256:")


def loaded(*entries: object, peppers: tuple[Pepper, ...] = ()) -> KeyIndex:
    """The keys of these entries."""
    sources = [Source("API_KEYS", json.dumps(entries))]
    return load_api_keys(sources, tiers=TIERS, peppers=peppers)


def refused(*entries: object, peppers: tuple[Pepper, ...] = ()) -> tuple[str, ...]:
    """The problems of these entries."""
    with pytest.raises(ConfigurationError) as caught:
        loaded(*entries, peppers=peppers)
    return caught.value.problems


def without(name: str) -> dict[str, Any]:
    """A right entry that lacks one field."""
    return {field: value for field, value in ENTRY.items() if field != name}


def test_no_text_means_no_keys() -> None:
    """An empty variable and an empty list are right, and know no key."""
    assert len(load_api_keys([Source("API_KEYS", "")], tiers=TIERS)) == 0
    assert len(load_api_keys([Source("API_KEYS", "[]")], tiers=TIERS)) == 0


def test_a_key_is_found_by_itself_alone() -> None:
    """The exact key finds its record; anything else finds nothing."""
    keys = loaded(ENTRY)
    assert isinstance(keys.find(KEY.encode()), ApiKeyRecord)
    for other in (b"", b"sk-012345678", b"SK-0123456789", SHA256.encode(), b" sk-0123456789"):
        assert keys.find(other) is Reason.UNKNOWN_KEY


def test_what_an_entry_leaves_out_has_defaults() -> None:
    """Id and subject are the first 12 hex digits of the key's SHA-256; nothing expires."""
    assert loaded(ENTRY).find(KEY.encode()) == ApiKeyRecord(
        id=SHA256[:12], subject=SHA256[:12], tier="free"
    )


def test_everything_an_entry_can_say() -> None:
    """Id, subject, scopes, expiry and disabling end up in the record."""
    entry = ENTRY | {
        "id": "key-1",
        "subject": "acme:billing/eu@example.com",
        "scopes": ["read", "write"],
        "expires_at": "2030-01-01T01:00:00.5+01:00",
        "disabled": True,
        "rate": "5 per 10s",
        "quota": "2000/week",
        "networks": ["203.0.113.0/24", "2001:db8::/32", "198.51.100.7"],
        "created_at": "2026-01-01T00:00:00Z",
    }
    assert loaded(entry).find(KEY.encode()) == ApiKeyRecord(
        id="key-1",
        subject="acme:billing/eu@example.com",
        tier="free",
        scopes=("read", "write"),
        expires_at_ms=1_893_456_000_500,
        disabled=True,
        overrides=Overrides(
            rate=Rate(name="per-10s", limit=5, window_ms=10_000), quota=(2000, Period.WEEK)
        ),
        networks=(
            ip_network("203.0.113.0/24"),
            ip_network("2001:db8::/32"),
            ip_network("198.51.100.7/32"),
        ),
    )


def test_one_limit_of_its_own_leaves_the_other_to_the_tier() -> None:
    """A key with a rate alone keeps the quota of its tier."""
    record = loaded(ENTRY | {"rate": "1000/hour"}).find(KEY.encode())
    assert isinstance(record, ApiKeyRecord)
    assert record.overrides == Overrides(
        rate=Rate(name="per-hour", limit=1000, window_ms=3_600_000), quota=None
    )


def test_a_plain_key_is_found_by_its_hmac_while_there_is_a_pepper() -> None:
    """Its SHA-256 is not in memory then; its id stays what it was."""
    keys = loaded(ENTRY, peppers=PEPPERS)
    assert digest(KEY.encode(), PEPPER) in keys
    assert digest(KEY.encode()) not in keys
    assert keys.find(KEY.encode()) == loaded(ENTRY).find(KEY.encode())


@pytest.mark.parametrize("pepper", PEPPERS)
def test_an_hmac_stands_for_a_key_while_its_pepper_is_known(pepper: Pepper) -> None:
    """Under the pepper in use and under older ones; its id is the beginning of the HMAC."""
    value = hmac_of(KEY, pepper)
    keys = loaded(without("key") | {"key_hmac": value}, peppers=PEPPERS)
    record = keys.find(KEY.encode())
    assert isinstance(record, ApiKeyRecord)
    assert record.id == value.partition(":")[2][:12]


def test_an_unknown_pepper_is_named() -> None:
    """Its id tells which line is missing from the file."""
    entry = without("key") | {"key_hmac": hmac_of(KEY, OLD_PEPPER)}
    (problem,) = refused(entry, peppers=(PEPPER,))
    assert problem == (
        f"API_KEYS[0].key_hmac: names the pepper {OLD_PEPPER.id},"
        " which AUTHZ_PEPPER_FILE does not hold"
    )


def test_while_the_pepper_file_is_wrong_peppers_go_unchecked() -> None:
    """One mistake is told once."""
    text = json.dumps([without("key") | {"key_hmac": hmac_of(KEY, OLD_PEPPER)}])
    assert len(load_api_keys([Source("API_KEYS", text)], tiers=TIERS, peppers=None)) == 1


@pytest.mark.parametrize(
    "twin",
    [
        ENTRY,
        without("key") | {"key_sha256": SHA256},
        without("key") | {"key_hmac": hmac_of(KEY, PEPPER)},
        without("key") | {"key_hmac": hmac_of(KEY, OLD_PEPPER)},
    ],
)
def test_one_key_in_two_forms_is_a_load_error(twin: dict[str, Any]) -> None:
    """Between sources too, in either order: two records of one key would contradict each other."""
    for first, second in ((ENTRY, twin), (twin, ENTRY)):
        sources = [
            Source("API_KEYS", json.dumps([first | {"id": "one"}])),
            Source("keys.yaml", json.dumps([second | {"id": "two"}]), is_yaml=True),
        ]
        with pytest.raises(ConfigurationError) as caught:
            load_api_keys(sources, tiers=TIERS, peppers=PEPPERS)
        assert caught.value.problems == ("keys.yaml:1: [0]: the same key as API_KEYS[0]",)


def test_a_key_of_our_own_form_is_checked_to_the_last_character() -> None:
    """Such a key would never be found: it is refused before any look-up."""
    key = make_key("live", random_bytes=lambda count: bytes(range(count)))
    assert len(loaded(ENTRY | {"key": key})) == 1
    for wrong in (key[:-1], key + "0", key.swapcase().replace("SK_LIVE", "sk_live"), "sk_12345678"):
        assert refused(ENTRY | {"key": wrong}) == (
            "API_KEYS[0].key: begins with sk_ and is no sk_ENVIRONMENT_RANDOM_CHECKSUM: mistyped?",
        )


def test_the_subject_is_the_id_unless_it_is_said() -> None:
    """A key with an id and no subject is counted by its id."""
    record = loaded(ENTRY | {"id": "key-1"}).find(KEY.encode())
    assert isinstance(record, ApiKeyRecord)
    assert record.subject == "key-1"


def test_a_digest_stands_for_a_key() -> None:
    """Operators may keep the key to themselves and configure its SHA-256."""
    assert loaded(without("key") | {"key_sha256": SHA256}).find(KEY.encode()) == (
        loaded(ENTRY).find(KEY.encode())
    )


def test_two_keys_of_one_subject_are_two_records() -> None:
    """Rotation: both keys work and count together."""
    keys = loaded(ENTRY | {"subject": "acme"}, ENTRY | {"key": "sk-another-key", "subject": "acme"})
    assert len(keys) == 2


@pytest.mark.parametrize(
    "text", ["[", "{]", "nonsense", "[{'key': 1}]", "\x00", "[" * 100_000, "[1,]"]
)
def test_text_that_is_no_json_is_refused_without_being_quoted(text: str) -> None:
    """A JSON error may quote the text, so only the variable is named."""
    with pytest.raises(ConfigurationError) as caught:
        load_api_keys([Source("API_KEYS", text)], tiers=TIERS)
    assert caught.value.problems == ("API_KEYS: is not valid JSON",)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[{"key": "sk-canary-1", "key": "sk-canary-2"}]', "API_KEYS[0]"),
        ('[{}, {"sk-canary": 1, "sk-canary": 1}]', "API_KEYS[1]"),
        ('[{"sk-canary": {"a": 1, "a": 1}}]', "API_KEYS[0]"),
        ('[{"scopes": [{"a": 1, "a": 1}]}]', "API_KEYS[0].scopes[0]"),
    ],
)
def test_a_member_that_stands_twice_is_told_by_its_place(text: str, place: str) -> None:
    """Which of the two counted would be a guess; neither names nor values are repeated."""
    with pytest.raises(ConfigurationError) as caught:
        load_api_keys([Source("API_KEYS", text)], tiers=TIERS)
    assert caught.value.problems == (f"{place}: names a member twice",)


CANARY = "sk-canary-4f1d7c90"
ENTRY_YAML = f"- key: {CANARY}\n  name: A key\n  tier: free\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- key: [" + CANARY, "keys.yaml:1: is not valid YAML"),
        (f"- &k {{key: {CANARY}}}\n- *k\n", "keys.yaml:1: [1]: is an alias; write the value out"),
        ("[" * 25 + CANARY + "]" * 25, "keys.yaml:1: [0][0]"),
        (ENTRY_YAML + "  1: 2\n", "keys.yaml:1: [0]: has a key that is not a string; quote it"),
        (ENTRY_YAML + f"  key: {CANARY}\n", "keys.yaml:4: [0]: has a key that stands there twice"),
        (
            ENTRY_YAML + f"  {CANARY}: 1\n  {CANARY}: 2\n",
            "keys.yaml:5: [0]: has a key that stands there twice",
        ),
        (
            ENTRY_YAML + "  expires_at: 2030-01-01T00:00:00Z\n",
            "keys.yaml:4: [0].expires_at: is no string, number or boolean; quote it",
        ),
        (
            ENTRY_YAML + f"  {CANARY}: 2030-01-01\n",
            "keys.yaml:4: [0]: is no string, number or boolean; quote it",
        ),
        (
            ENTRY_YAML.replace(CANARY, "${THE_KEY}"),
            "keys.yaml:1: [0].key: is a variable, and key files have none; write the value out",
        ),
        (
            ENTRY_YAML + "  expires_at: ${NOT_SET:-}\n",
            "keys.yaml:4: [0].expires_at: is a variable, and key files have none;",
        ),
        ("keys: []", "keys.yaml:1: should be a valid array"),
    ],
)
def test_a_key_file_that_cannot_be_read_is_told_by_place_and_remedy(
    text: str, problem: str
) -> None:
    """One sentence for each rule of YAML that it breaks, and nothing of what it holds."""
    with pytest.raises(ConfigurationError) as caught:
        load_api_keys([Source("keys.yaml", text, is_yaml=True)], tiers=TIERS)
    (told,) = caught.value.problems
    assert told.startswith(problem)
    assert CANARY not in told


@pytest.mark.parametrize("text", ["{}", '"text"', "1", "null", "true"])
def test_anything_but_a_list_is_refused(text: str) -> None:
    """The variable is a list of entries."""
    with pytest.raises(ConfigurationError) as caught:
        load_api_keys([Source("API_KEYS", text)], tiers=TIERS)
    assert caught.value.problems == ("API_KEYS: should be a valid array",)


BAD_KEY = "must be 8 to 256 printable ASCII characters without space or comma"
BAD_NAME = "must be 1 to 128 of A-Z a-z 0-9 . _ : @ / -"
NO_TIER = "is no tier of the policy; known are free, pro"
FIELDS = (
    "key, key_sha256, key_hmac, name, tier, id, subject, scopes, expires_at, disabled, rate, quota,"
    " networks, created_at"
)
ONE_SECRET = "API_KEYS[0]: needs exactly one of key, key_sha256 and key_hmac"
NO_NETWORK = "is no network; write 203.0.113.0/24, with nothing set behind the prefix"


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (7, "API_KEYS[0]: should be an object"),
        (without("name"), "API_KEYS[0].name: is required"),
        (without("tier"), "API_KEYS[0].tier: is required"),
        (without("key"), ONE_SECRET),
        (ENTRY | {"key": None}, ONE_SECRET),
        (ENTRY | {"key_sha256": SHA256}, ONE_SECRET),
        (ENTRY | {"key": "1234567"}, f"API_KEYS[0].key: {BAD_KEY}"),
        (ENTRY | {"key": "k" * 257}, f"API_KEYS[0].key: {BAD_KEY}"),
        (ENTRY | {"key": "sk-with space"}, f"API_KEYS[0].key: {BAD_KEY}"),
        (ENTRY | {"key": "sk-with,comma"}, f"API_KEYS[0].key: {BAD_KEY}"),
        (ENTRY | {"key": "sk-wíth-accent"}, f"API_KEYS[0].key: {BAD_KEY}"),
        (ENTRY | {"key": 12345678}, "API_KEYS[0].key: should be a valid string"),
        (
            without("key") | {"key_sha256": SHA256.upper()},
            "API_KEYS[0].key_sha256: must be 64 lower-case hex digits",
        ),
        (
            without("key") | {"key_sha256": SHA256[:-1]},
            "API_KEYS[0].key_sha256: must be 64 lower-case hex digits",
        ),
        (ENTRY | {"key_hmac": hmac_of(KEY, PEPPER)}, ONE_SECRET),
        (
            without("key") | {"key_hmac": SHA256},
            "API_KEYS[0].key_hmac: must be PEPPER_ID:HEX, 8 and 64 lower-case hex digits",
        ),
        (
            ENTRY | {"rate": "10/fortnight"},
            "API_KEYS[0].rate: is no rate; write 10/minute or 5 per 10s",
        ),
        (
            ENTRY | {"rate": "1000000001/minute"},
            "API_KEYS[0].rate: must admit 1 to 1,000,000,000 in its window; use a quota for more",
        ),
        (ENTRY | {"rate": 10}, "API_KEYS[0].rate: should be a valid string"),
        (
            ENTRY | {"quota": "10/hour"},
            "API_KEYS[0].quota: is no quota; write 500/day, 500/week or 500/month",
        ),
        (
            ENTRY | {"networks": ["10.0.0.0/8", "203.0.113.7/24"]},
            f"API_KEYS[0].networks[1]: {NO_NETWORK}",
        ),
        (ENTRY | {"networks": [""]}, f"API_KEYS[0].networks[0]: {NO_NETWORK}"),
        (ENTRY | {"networks": ["fe80::1%eth0"]}, f"API_KEYS[0].networks[0]: {NO_NETWORK}"),
        (ENTRY | {"networks": ["::ffff:10.0.0.0/104"]}, f"API_KEYS[0].networks[0]: {NO_NETWORK}"),
        (ENTRY | {"networks": "10.0.0.0/8"}, "API_KEYS[0].networks: should be a valid array"),
        (
            ENTRY | {"created_at": "2030-01-01T00:00:00"},
            "API_KEYS[0].created_at: should have timezone info",
        ),
        (ENTRY | {"tier": ""}, f"API_KEYS[0].tier: {BAD_NAME}"),
        (
            ENTRY | {"tier": "gold"},
            "API_KEYS[0].tier: is no tier of the policy; known are free, pro",
        ),
        (
            ENTRY | {"tier": "Free"},
            "API_KEYS[0].tier: is no tier of the policy; known are free, pro",
        ),
        (ENTRY | {"id": "a b"}, f"API_KEYS[0].id: {BAD_NAME}"),
        (ENTRY | {"id": "a\r\nb"}, f"API_KEYS[0].id: {BAD_NAME}"),
        (ENTRY | {"id": "x" * 129}, f"API_KEYS[0].id: {BAD_NAME}"),
        (ENTRY | {"subject": ""}, f"API_KEYS[0].subject: {BAD_NAME}"),
        (ENTRY | {"subject": "acme*"}, f"API_KEYS[0].subject: {BAD_NAME}"),
        (ENTRY | {"scopes": "read"}, "API_KEYS[0].scopes: should be a valid array"),
        (ENTRY | {"scopes": ["read all"]}, f"API_KEYS[0].scopes[0]: {BAD_NAME}"),
        (ENTRY | {"disabled": "yes"}, "API_KEYS[0].disabled: should be a valid boolean"),
        (ENTRY | {"disabled": 1}, "API_KEYS[0].disabled: should be a valid boolean"),
        (ENTRY | {"expires_at": 1893456000}, "API_KEYS[0].expires_at: should be a valid datetime"),
        (
            ENTRY | {"expires_at": "2030-01-01T00:00:00"},
            "API_KEYS[0].expires_at: should have timezone info",
        ),
        (
            ENTRY | {"teir": "free"},
            f"API_KEYS[0]: has an unknown key; known are {FIELDS}",
        ),
    ],
)
def test_a_wrong_entry_is_told_by_its_place(entry: object, problem: str) -> None:
    """One wrong entry gets exactly one line: the place, the field, the rule."""
    assert refused(entry) == (problem,)


def test_an_expiry_that_is_no_moment_is_refused() -> None:
    """A date alone says neither an hour nor a zone, so it is no moment."""
    (problem,) = refused(ENTRY | {"expires_at": "2030-01-01"})
    assert problem.startswith("API_KEYS[0].expires_at: should be a valid datetime")


def test_all_problems_are_told_at_once() -> None:
    """Every wrong entry is named in one go, in the order of the list."""
    problems = refused({}, ENTRY, ENTRY | {"key": "short", "tier": ""}, 7)
    assert [problem.split(":")[0] for problem in problems] == [
        "API_KEYS[0].name",
        "API_KEYS[0].tier",
        "API_KEYS[2].key",
        "API_KEYS[2].tier",
        "API_KEYS[3]",
    ]


def test_unknown_tiers_and_repeated_keys_are_told_together() -> None:
    """Problems between entries are collected like those within one."""
    assert refused(
        ENTRY | {"tier": "gold"},
        ENTRY | {"id": "again"},
        without("key") | {"key_sha256": SHA256, "id": "third"},
        ENTRY | {"key": "sk-another-key", "id": "same"},
        ENTRY | {"key": "sk-yet-another", "id": "same"},
    ) == (
        f"API_KEYS[0].tier: {NO_TIER}",
        "API_KEYS[1]: the same key as API_KEYS[0]",
        "API_KEYS[2]: the same key as API_KEYS[0]",
        "API_KEYS[4].id: the same id as API_KEYS[3]",
    )


def test_without_a_policy_tiers_go_unchecked() -> None:
    """While the policy itself is wrong, the keys are read as far as they can be."""
    text = json.dumps([ENTRY | {"tier": "whatever"}])
    assert len(load_api_keys([Source("API_KEYS", text)], tiers=None)) == 1


@pytest.mark.parametrize(
    "field",
    [
        *("key", "key_sha256", "key_hmac", "name", "tier", "id", "subject", "expires_at"),
        *("scopes", "rate", "quota", "networks", "created_at"),
    ],
)
@pytest.mark.parametrize("spoil", ["{} {}", "{}\ud800", "{},", "[{}]"])
def test_no_problem_repeats_what_was_written(
    field: str, spoil: str, planted_secrets: PlantedSecrets
) -> None:
    """A key in any field, spoiled in any way, never comes back in a message."""
    secret = planted_secrets.api_key
    text = json.dumps([ENTRY | {field: spoil.replace("{}", secret)}])
    try:
        told = repr(load_api_keys([Source("API_KEYS", text)], tiers=TIERS))
    except ConfigurationError as error:
        told = f"{error!r} {error} {error.__context__!r}"
    assert planted_secrets.found_in(told) == []


@pytest.mark.parametrize(
    "field",
    ["tier", "expires_at", "key_sha256", "key_hmac", "disabled", "scopes", "rate", "networks"],
)
def test_a_key_in_the_wrong_field_is_not_repeated(
    field: str, planted_secrets: PlantedSecrets
) -> None:
    """A well-formed key that slipped into another field is refused unseen."""
    problems = refused(ENTRY | {field: planted_secrets.api_key})
    assert planted_secrets.found_in(" ".join(problems)) == []


def test_a_key_as_the_name_of_a_field_is_not_repeated(planted_secrets: PlantedSecrets) -> None:
    """A key that slipped to the left of the colon is refused unseen."""
    problems = refused(ENTRY | {planted_secrets.api_key: 1})
    assert planted_secrets.found_in(" ".join(problems)) == []


def test_the_index_shows_no_key(planted_secrets: PlantedSecrets) -> None:
    """What is kept in memory of a key is its digest."""
    keys = loaded(ENTRY | {"key": planted_secrets.api_key})
    assert planted_secrets.found_in(f"{keys!r} {keys.__dict__!r}") == []
