"""Every rule of descriptor files, shown by a file that breaks it and the words it gets."""

from pathlib import Path

import pytest

from authz_service.core.descriptors import Algorithm
from authz_service.descriptors.problem import Rule
from authz_service.descriptors.sources import (
    SourceFile,
    compile_sources,
    examine,
    read_folder,
)
from authz_service.errors import ConfigurationError

DESCRIPTORS = Path(__file__).parents[2] / "fixtures" / "descriptors"
INVALID = sorted(file.with_suffix("") for file in (DESCRIPTORS / "invalid").glob("*.txt"))
VALID = sorted((DESCRIPTORS / "valid").glob("*.yaml"))


def files_of(case: Path) -> list[SourceFile]:
    """The one file of a case, or all in its folder."""
    if case.is_dir():
        return read_folder(case)
    file = case.with_name(f"{case.name}.yaml")
    return [SourceFile(file.name, file.read_text())]


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.name)
def test_a_broken_file_gets_exactly_these_messages(case: Path) -> None:
    """Each broken file gets the messages beside it: all of them, in the order of the text."""
    with pytest.raises(ConfigurationError) as caught:
        compile_sources(files_of(case))
    told = "".join(f"{problem}\n" for problem in caught.value.problems)
    assert told == case.with_name(f"{case.name}.txt").read_text()


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_a_right_file_compiles(file: Path) -> None:
    """Each right file compiles to the rules of one domain."""
    rules = compile_sources([SourceFile(file.name, file.read_text())])
    assert len(rules.domains) == 1


@pytest.mark.parametrize("rule", Rule, ids=str)
def test_every_rule_has_a_broken_example(rule: Rule) -> None:
    """A rule is proven by a case whose name begins with it and which breaks it."""
    examples = [case for case in INVALID if case.name.split(".")[0] == rule.value]
    assert examples
    for case in examples:
        examined = examine(files_of(case), merge_domains=False, algorithm=Algorithm.EXACT)
        assert rule in {problem.rule for problem in examined.problems}


def test_no_case_is_left_over() -> None:
    """Every broken file has its text of messages."""
    cases = {it for it in (DESCRIPTORS / "invalid").iterdir() if it.suffix != ".txt"}
    assert {case.with_suffix("") if case.is_file() else case for case in cases} == set(INVALID)


def test_the_problems_of_all_files_come_at_once() -> None:
    """Two broken files are told together, file by file."""
    files = [SourceFile("b.yaml", "x: 1\ndomain: b\n"), SourceFile("a.yaml", "domain: ''\n")]
    with pytest.raises(ConfigurationError) as caught:
        compile_sources(files)
    assert caught.value.problems == (
        "a.yaml: config file cannot have empty domain",
        "b.yaml: config error, unknown key 'x'",
    )
