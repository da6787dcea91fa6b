"""Every rule of the policy format, shown by a file that breaks it and the words it gets."""

from contextlib import suppress
from pathlib import Path

import pytest

from authz_service.errors import ConfigurationError
from authz_service.policy.compile import compile_policy
from authz_service.policy.merge import Merged
from authz_service.policy.parse import parse
from authz_service.policy.problem import Rule
from authz_service.policy.sources import _fragments, load_policy

POLICIES = Path(__file__).parents[2] / "fixtures" / "policies"
INVALID = sorted((POLICIES / "invalid").glob("*.yaml"))
VALID = sorted((POLICIES / "valid").glob("*.yaml"))
ENVIRONMENT = {
    "BROKEN_JSON": '["unclosed',
    "EMPTY": "",
    "NAME": "hunter2",
    "ORIGINS": '["https://app.example.com"]',
    "PATH_OF_A_ROUTE": "/v1/hunter2",
    "PREFIX": "shop",
    "REPEATED_MEMBER": '[{"name": "hunter2", "name": "other", "rate": "1/minute"}]',
    "SECRET": "Hunter2",
    "SECRETS": '["Hunter2", {"Hunter2": 1}]',
    "SECRET_OBJECT": '{"Hunter2": "Hunter2", "match": "Hunter2"}',
    "SECRET_ROUTE": (
        '{"name": "hunter2", "match": {"method": "GET", "path": "/hunter2"}, "cost": 99}'
    ),
    "SECRET_TIERS": '{"Hunter2": {"rate": "Hunter2", "max_upload": "1MB"}, "hunter2": {}}',
}


def rules_broken_by(file: Path) -> set[Rule]:
    """The rules behind the messages, which the messages themselves do not name."""
    main = parse(file.read_text(), file=str(file), environment=ENVIRONMENT)
    merged = Merged(main, list(_fragments(main, file.parent, ENVIRONMENT)))
    with suppress(ConfigurationError):
        compile_policy(merged)
    return {problem.rule for problem in merged.problems}


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_a_broken_policy_gets_exactly_these_messages(file: Path) -> None:
    """Each broken file gets the messages beside it: all of them, in order, with their lines."""
    expected = file.with_suffix(".txt").read_text()
    with pytest.raises(ConfigurationError) as caught:
        load_policy(file, ENVIRONMENT)
    told = "".join(f"{problem}\n" for problem in caught.value.problems)
    assert told.replace(str(file), "{file}").replace(str(file.parent), "{folder}") == expected


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_no_message_shows_a_value_of_the_environment(file: Path) -> None:
    """It may be a secret that stands in the wrong place, so its variable is named instead."""
    with pytest.raises(ConfigurationError) as caught:
        load_policy(file, ENVIRONMENT)
    assert "hunter2" not in repr(caught.value.problems).lower()


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_a_right_policy_compiles(file: Path) -> None:
    """Each right file compiles, with at least one route and a charge list for every tier."""
    policy = load_policy(file, ENVIRONMENT)
    assert policy.routes
    for route in policy.routes:
        assert route.charges.keys() == policy.tiers.keys()


@pytest.mark.parametrize("rule", Rule, ids=str)
def test_every_rule_has_a_broken_example(rule: Rule) -> None:
    """A rule is proven by a file whose name begins with it and which breaks it."""
    examples = [file for file in INVALID if file.name.split(".")[0] == rule.value]
    assert examples
    for file in examples:
        assert rule in rules_broken_by(file)


def test_no_expectation_is_left_over() -> None:
    """Every text of expected messages belongs to a policy."""
    assert {file.stem for file in (POLICIES / "invalid").glob("*.txt")} == {
        file.stem for file in INVALID
    }
