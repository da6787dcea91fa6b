"""What is told to those who come from another service."""

from authz_service.core.descriptors import Algorithm
from authz_service.descriptors.report import changes, wrong_everywhere
from authz_service.descriptors.sources import SourceFile, examine

TEXT = """\
domain: shop
descriptors:
  - key: user
    unit: day
    rate_limit:
      unit: month
      requests_per_unit: 3
    metadata: {algorithm: none}
  - key: account
    rate_limit: {unit: Minute, requests_per_unit: 3, algorithm: fixed, unit_multiplier: 5}
  - {key: staff, rate_limit: {unlimited: true}}
  - {key: year, rate_limit: {unit: year, algorithm: fixed}}
---
more: 1
"""


def told(*, algorithm: Algorithm, hidden: tuple[str, ...] = ()) -> list[str]:
    """The report on the text."""
    files = [SourceFile("a.yaml", TEXT)]
    examined = examine(files, merge_domains=False, algorithm=algorithm)
    assert wrong_everywhere(examined) == []
    return [str(change) for change in changes(examined, hidden)]


def test_every_change_is_told_where_it_stands() -> None:
    """Windows that slide, long units, keys that did nothing, our own keys, what is not read."""
    assert told(algorithm=Algorithm.EXACT, hidden=(".git",)) == [
        ".git: is not read: its name begins with a dot",
        "a.yaml: only its first document is read, there as here",
        (
            "a.yaml:4: 'unit' does nothing in a descriptor; it belongs into rate_limit;"
            " it was passed over, and is an error now"
        ),
        (
            "a.yaml:6: shop.user counts in a window that slides, and refused calls do not count;"
            " algorithm: fixed counts as before"
        ),
        (
            "a.yaml:6: shop.user: a month has 30 days, there as here;"
            " in a policy it would follow the calendar"
        ),
        "a.yaml:10: 'algorithm' is known here only: the file cannot go back",
        "a.yaml:10: 'unit_multiplier' is known here only: the file cannot go back",
        (
            "a.yaml:12: shop.year: a year has 365 days, there as here;"
            " in a policy it would follow the calendar"
        ),
        "a.yaml:12: 'algorithm' is known here only: the file cannot go back",
    ]


def test_fixed_windows_are_no_change() -> None:
    """Whichever way they were asked for."""
    assert not [it for it in told(algorithm=Algorithm.FIXED) if "slides" in it]


def test_what_the_other_service_refuses_is_no_change() -> None:
    """It is a problem, and so is what only we refuse, misplaced keys aside."""
    text = "domain: ''\nunit: day\nalgorithm: x\n"
    files = [SourceFile("a.yaml", text)]
    examined = examine(files, merge_domains=False, algorithm=Algorithm.EXACT)
    assert [str(it) for it in wrong_everywhere(examined)] == [
        "a.yaml: config file cannot have empty domain",
        "a.yaml:3: algorithm x is neither exact nor fixed",
    ]
