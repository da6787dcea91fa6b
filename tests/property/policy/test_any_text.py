"""Whatever stands in a policy file, the outcome is a policy or a list of problems."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from authz_service.core.rules import Policy
from authz_service.errors import ConfigurationError
from authz_service.policy.compile import compile_policy
from authz_service.policy.merge import Merged
from authz_service.policy.parse import parse
from authz_service.testing.builders import read_policy

POLICIES = Path(__file__).parents[2] / "fixtures" / "policies"
MINIMAL = (POLICIES / "valid" / "minimal.yaml").read_text()
TEXTS = [file.read_text() for file in sorted(POLICIES.glob("*/*.yaml"))]
FRAGMENTS = st.one_of(
    st.sampled_from(
        ["{", "}", "[", "]", ": ", "- ", "&a ", "*a ", "!!bool ", "!x ", "${X}", "|", '"', "\t"]
    ),
    st.sampled_from(["null", "0x" + "F" * 5_000, "1e999", ".nan", "\\uD800", "\0", "<<: ", "? "]),
    st.text(max_size=5),
)


def compiles_or_explains(text: str, environment: dict[str, str]) -> None:
    """Anything but a policy or a ConfigurationError with problems fails the test."""
    problems = problems_of(lambda: read_policy(text, environment=environment))
    assert problems is None or len(problems) > 0
    for problem in problems or ():
        assert problem.startswith("policy.yaml:")


def problems_of(read: Callable[[], Policy]) -> tuple[str, ...] | None:
    """What is wrong with the policy, or None if it compiles."""
    try:
        assert isinstance(read(), Policy)
    except ConfigurationError as error:
        return error.problems
    return None


@given(st.text(), st.text())
@example('a: "\\UFFFFFFFF"', "")
@example("version: !!bool perhaps", "")
@example("version: !!int ''", "")
@example("version: !!float ''", "")
@example("version: 0x" + "F" * 5_000, "")
@example('"\\ud800": 1', "")
@example('tiers: {"\\ud800": {}}', "")
@example("a: " * 2_000, "")
@example("[" * 5_000, "")
@example("", "")
def test_any_text_compiles_or_is_explained(text: str, variable: str) -> None:
    """Text that is no policy raises ConfigurationError and nothing else."""
    compiles_or_explains(text, {"X": variable})


@given(st.sampled_from(TEXTS), st.data())
def test_a_damaged_policy_compiles_or_is_explained(text: str, data: st.DataObject) -> None:
    """A policy with a piece cut out and something else put in its place does no worse."""
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    damaged = text[:start] + data.draw(FRAGMENTS) + text[end:]
    compiles_or_explains(damaged, {"X": data.draw(st.sampled_from(["", "[", "[1]", '{"a": 1}']))})


YAML_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.mark.parametrize(
    "key",
    [
        "version",
        "include",
        "trusted_hops",
        "cors",
        "tiers",
        "jwt",
        "upstream",
        "defaults",
        "routes",
    ],
)
@given(value=YAML_VALUES)
def test_any_value_of_any_key_compiles_or_is_explained(key: str, value: object) -> None:
    """A value of an unexpected type anywhere is a problem, not a crash."""
    compiles_or_explains(f"{TEXTS[-1]}\n{key}2: {value!r}\n{key}: {value!r}\n", {})


@given(limits=st.dictionaries(st.sampled_from(["things", "orders"]), YAML_VALUES) | YAML_VALUES)
def test_any_limits_of_a_fragment_compile_or_are_explained(limits: object) -> None:
    """Whatever a fragment says of its limits is told as a problem of the fragment."""
    text = yaml.safe_dump({"limits": limits}, allow_unicode=True)
    main = parse(MINIMAL, file="policy.yaml", environment={})
    merged = Merged(main, [parse(text, file="fragment.yaml", environment={})])
    problems = problems_of(lambda: compile_policy(merged))
    assert problems is None or len(problems) > 0
    for problem in problems or ():
        assert problem.startswith("fragment.yaml:")
