"""What right files mean."""

import pytest

from authz_service.core.descriptor_rules import DescriptorRules, Node
from authz_service.core.descriptors import Algorithm, DescriptorLimit, Unit
from authz_service.core.rules import StoreFailure
from authz_service.descriptors.sources import SourceFile, compile_sources
from authz_service.errors import ConfigurationError
from authz_service.testing.descriptors import read_descriptors
from tests.unit.descriptors.test_fixtures import DESCRIPTORS


def fixture(name: str) -> DescriptorRules:
    """The rules of a right file."""
    return read_descriptors((DESCRIPTORS / "valid" / f"{name}.yaml").read_text())


def node(rules: DescriptorRules, *names: str) -> Node:
    """The node that names lead to, the domain first."""
    found = rules.domains[names[0]].root
    for name in names[1:]:
        found = found.children[name]
    return found


def test_every_key_of_a_file_arrives() -> None:
    """Each where rules have it, with the file's algorithm where a limit has none."""
    rules = fixture("complete")
    assert rules.domains["shop"].algorithm is Algorithm.FIXED
    address = node(rules, "shop", "remote_address_10.0.0.*")
    assert address.share_threshold
    assert address.limit == DescriptorLimit(
        requests_per_unit=1000,
        unit=Unit.HOUR,
        multiplier=2,
        metadata={"plan": "internal", "weights": [1, 0.5, None, True], "nested": {"level": 2}},
    )
    assert address.limit.window_s == 7_200
    assert address.children["path"].detailed_metric
    user = node(rules, "shop", "user")
    assert user.value_to_metric
    assert user.limit == DescriptorLimit(
        requests_per_unit=10,
        unit=Unit.MINUTE,
        algorithm=Algorithm.FIXED,
        name="users",
        replaces=("everybody", "guests"),
        shadow=True,
        quota=True,
        on_store_failure=StoreFailure.DENY,
    )
    assert node(rules, "shop", "user_7").limit == DescriptorLimit(
        unit=None, algorithm=Algorithm.FIXED
    )
    assert node(rules, "shop").patterns == (address,)


def test_scalars_are_the_text_they_were_written_as() -> None:
    """Where a string is expected, numbers, dates and booleans are what the file spells."""
    assert set(node(fixture("odd"), "odd").children) == {
        *("010_0x1F", "day_2027-01-31", "time_12:30:45", "1.5_null", "text_1.5"),
    }
    assert "user_yes" in node(fixture("complete"), "shop").children


def test_aliases_stand_for_what_they_name() -> None:
    """Merged keys give way to those behind them, and of several maps the first has the word."""
    limits = dict(fixture("aliases").limits())
    told = {name: (it.unit, it.requests_per_unit) for name, it in limits.items()}
    assert told == {
        "aliases.a": (Unit.SECOND, 5),
        "aliases.b": (Unit.SECOND, 5),
        "aliases.c": (Unit.SECOND, 6),
        "aliases.d": (Unit.DAY, 5),
    }


@pytest.mark.parametrize("unit", Unit)
def test_units_are_written_in_any_case(unit: Unit) -> None:
    """All seven."""
    for text in (unit.name, unit.name.lower(), unit.name.title()):
        rules = read_descriptors(
            f"domain: a\ndescriptors: [{{key: k, rate_limit: {{unit: {text}}}}}]"
        )
        assert [limit.unit for _, limit in rules.limits()] == [unit]


@pytest.mark.parametrize("requests", [0, 1, 4_294_967_295])
def test_a_limit_is_any_number_of_32_bits(requests: int) -> None:
    """From none to the largest."""
    said = f"{{unit: day, requests_per_unit: {requests}}}"
    text = f"domain: a\ndescriptors: [{{key: k, rate_limit: {said}}}]"
    ((_, limit),) = read_descriptors(text).limits()
    assert limit.requests_per_unit == requests


ONE = SourceFile("one.yaml", "domain: a\nalgorithm: fixed\ndescriptors: [{key: x, value: '1*'}]")
TWO = SourceFile("two.yaml", "domain: a\ndescriptors: [{key: x, value: '*'}, {key: y}]")


def test_files_of_one_domain_can_be_merged() -> None:
    """Their descriptors stand one behind the other, in the order of the files."""
    rules = compile_sources([ONE, TWO], merge_domains=True)
    assert [it.name for it in rules.domains["a"].root.patterns] == ["x_1*", "x_*"]
    assert list(rules.domains["a"].root.children) == ["x_1*", "x_*", "y"]
    assert rules.domains["a"].algorithm is Algorithm.FIXED


def test_merged_files_may_not_repeat_a_descriptor() -> None:
    """The second is told."""
    with pytest.raises(ConfigurationError) as caught:
        compile_sources([ONE, SourceFile("z", ONE.text)], merge_domains=True)
    assert caught.value.problems == ("z: duplicate descriptor composite key 'a.x_1*'",)


def test_the_digest_is_that_of_the_rules() -> None:
    """Layout and order play no part, but the order of patterns does."""

    def digest(*texts: str, algorithm: Algorithm = Algorithm.EXACT) -> str:
        files = [SourceFile(str(place), text) for place, text in enumerate(texts)]
        return compile_sources(files, algorithm=algorithm).digest

    first, second = "domain: a\ndescriptors: [{key: k}, {key: l}]", "domain: b"
    assert digest(first, second) == digest(second, "domain: a\ndescriptors:\n- key: l\n- key: k")
    assert digest(first) != digest(first, second)
    patterns = "domain: a\ndescriptors: [{key: k*}, {key: l*}]"
    assert digest(patterns) != digest("domain: a\ndescriptors: [{key: l*}, {key: k*}]")
    assert digest(first) != digest(first, algorithm=Algorithm.FIXED)
    assert digest(first) != digest(first.replace("{key: k}", "{key: k, value_to_metric: true}"))


def test_rules_cannot_be_changed() -> None:
    """Requests read them while others are being loaded."""
    rules = fixture("complete")
    with pytest.raises(TypeError):
        rules.domains["b"] = rules.domains["shop"]  # type: ignore[index]
    with pytest.raises(TypeError):
        del node(rules, "shop").children["user"]  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        del node(rules, "shop", "remote_address_10.0.0.*").children["path"]  # type: ignore[attr-defined]
