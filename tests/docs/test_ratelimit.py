"""What the guide to descriptors says is so."""

import re
from pathlib import Path

import pytest

from authz_service.core.descriptor_metrics import Increments, measured_name
from authz_service.core.descriptor_rules import DescriptorRules
from authz_service.core.descriptors import DescriptorLimit, Resolved
from authz_service.core.resolve import Resolution, resolve
from authz_service.descriptors.keys import OUR_KEYS, Place
from authz_service.descriptors.parts import MAX_MULTIPLIER
from authz_service.descriptors.sources import MAX_FILE_BYTES, MAX_FILES
from authz_service.descriptors.values import MAX_DEPTH, MAX_VALUES
from authz_service.observe.rule_series import RuleSeries
from authz_service.settings import Settings
from authz_service.testing.descriptors import asking, descriptor, read_descriptors
from tests.docs.test_docs import shell

PAGE = Path(__file__).parents[2] / "docs" / "ratelimit.md"
TEXT = PAGE.read_text(encoding="utf-8")
(LIMITS,) = re.findall(r"```yaml limits.yaml\n(.*?)```", TEXT, re.DOTALL)
TABLE = TEXT.partition("<!-- matching -->")[2].partition("\n\n")[0]
ROWS = [
    tuple(cell.strip() for cell in line.split("|")[1:4])
    for line in TABLE.splitlines()
    if line.startswith("| `")
]


def test_the_commands_print_what_is_shown(tmp_path: Path) -> None:
    """With the file of the guide, and with one that is broken."""
    for name, text in {
        "limits": LIMITS,
        "broken": "domain: shop\ndescriptors:\n"
        "  - key: a\n    ratelimit: {unit: day}\n"
        "  - key: b\n    rate_limit: {unit: fortnight}\n"
        "  - key: c\n    rate_limit: {unit: day, shadow_mode: true}\n",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "limits.yaml").write_text(text, encoding="utf-8")

    assert shell(PAGE, tmp_path) == [0, 2, 0, 0]


@pytest.fixture(scope="module")
def rules() -> DescriptorRules:
    """The rules of the guide's file."""
    return read_descriptors(LIMITS)


@pytest.mark.parametrize(("entries", "limit", "counter"), ROWS)
def test_a_descriptor_meets_the_limit_that_is_shown(
    rules: DescriptorRules, entries: str, limit: str, counter: str
) -> None:
    """And counts where it is said to."""
    parts = re.findall(r"`(\w+)=(.*?)`", entries)
    found = resolve(rules, asking(descriptor(*parts)))
    assert isinstance(found, Resolution)
    (resolved,) = found.resolved
    assert in_words(resolved.limit) == limit
    assert counter_in_words(resolved) == counter


def in_words(limit: DescriptorLimit | None) -> str:
    """A limit as the table has it."""
    if limit is None:
        return "none"
    if limit.unit is None:
        return "unlimited"
    unit = limit.unit.name.lower()
    article = "an" if unit == "hour" else "a"
    times = f"per {limit.multiplier} {unit}s" if limit.multiplier > 1 else f"{article} {unit}"
    return f"{limit.requests_per_unit} {times}"


def counter_in_words(resolved: Resolved) -> str:
    """Where it counts, as the table has it."""
    shared = [f"`{it.value}`" for it in resolved.counted_as if it.is_pattern]
    return ", ".join(shared) or ("its own value" if resolved.counted_as else "")


def test_the_variables_that_are_named_exist() -> None:
    """Whoever changes over sets what is read."""
    known = {field.alias for field in Settings.model_fields.values()}
    named = set(re.findall(r"\bAUTHZ_\w+", TEXT))
    assert named
    assert named - known == set()


def test_every_setting_of_rate_limits_is_named() -> None:
    """None has to be found in another page."""
    own = [str(it.alias) for it in Settings.model_fields.values() if "RATELIMIT" in str(it.alias)]
    assert [name for name in own if name not in TEXT] == []


def test_the_metrics_that_are_named_exist() -> None:
    """With the name of a rule that the page shows."""
    limit = descriptor(("plan", "free"), ("path", "/"))
    found = resolve(read_descriptors(LIMITS), asking(limit))
    assert isinstance(found, Resolution)
    rule = measured_name("shop", found.resolved[0].measured_as)
    series = RuleSeries()
    series.hit("shop", rule, Increments(total_hits=1))
    samples = [sample for family in series.collect() for sample in family.samples]
    assert len(samples) == 5
    for sample in samples:
        short = sample.name.replace("ratelimit_service_rate_limit", "...")
        assert f"`{sample.name}`" in TEXT or f"`{short}`" in TEXT
        assert f"`{sample.labels['rule']}`" in TEXT


def test_the_table_has_rows() -> None:
    """All of them are found."""
    assert len(ROWS) == 10


@pytest.mark.parametrize(
    ("heading", "place"),
    [
        ("Of the file:", Place.FILE),
        ("Of a descriptor:", Place.DESCRIPTOR),
        ("Of `rate_limit`:", Place.RATE_LIMIT),
    ],
)
def test_every_key_is_documented(heading: str, place: Place) -> None:
    """Under its place, and ours as ours."""
    table = TEXT.partition(heading)[2].partition("\n\n")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE))
    assert set(rows) == set(place.keys)
    assert {key for key, meaning in rows.items() if meaning.startswith("ours:")} == (
        OUR_KEYS & set(place.keys)
    )


def test_the_bounds_are_those_of_the_code() -> None:
    """Numbers that an operator may run into."""
    for said in (
        f"{MAX_FILES} files of at most {MAX_FILE_BYTES >> 20} MiB",
        f"{MAX_DEPTH} levels, {MAX_VALUES:,} values",
        f"from 1 to {MAX_MULTIPLIER}",
    ):
        assert said in TEXT, said
