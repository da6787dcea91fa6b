"""YAML as values: what scalars stand for, and what is too much to read."""

import pytest

from authz_service.descriptors.values import (
    MAX_DEPTH,
    MAX_TEXT,
    Kind,
    NotYamlError,
    read_yaml,
)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("~", Kind.NULL, "<nil>"),
        ("y", Kind.BOOL, "true"),
        ("Off", Kind.BOOL, "false"),
        ("yEs", Kind.STRING, "yEs"),
        ("0", Kind.INT, "0"),
        ("-12", Kind.INT, "-12"),
        ("1_000", Kind.INT, "1000"),
        ("0x1F", Kind.INT, "31"),
        ("0b101", Kind.INT, "5"),
        ("017", Kind.INT, "15"),
        ("0o17", Kind.INT, "15"),
        ("08", Kind.FLOAT, "8"),
        ("1.50", Kind.FLOAT, "1.5"),
        ("1e3", Kind.FLOAT, "1000"),
        (".inf", Kind.FLOAT, ".inf"),
        ("9223372036854775807", Kind.INT, "9223372036854775807"),
        ("9223372036854775808", Kind.FLOAT, "9223372036854775808"),
        ("0x" + "F" * 5_000, Kind.FLOAT, "0x" + "F" * 5_000),
        ("9" * 5_000, Kind.FLOAT, "inf"),
        ("1:30", Kind.STRING, "1:30"),
        ("2027-01-31", Kind.STRING, "2027-01-31"),
        ('"1"', Kind.STRING, "1"),
        ("!!str 1", Kind.STRING, "1"),
    ],
)
def test_what_a_scalar_stands_for(text: str, kind: Kind, said: str) -> None:
    """And how messages spell it."""
    value, _ = read_yaml(text)
    assert (value.kind, str(value)) == (kind, said)


def test_of_equal_keys_the_last_counts() -> None:
    """They may be written in different ways."""
    value, _ = read_yaml('a: 1\n"a": 2\n')
    assert [(str(key), str(inner)) for key, inner in value.pairs] == [("a", "2")]


def test_only_the_first_document_is_read() -> None:
    """What stands behind it need not even be YAML, and is told."""
    for behind in ("b: 2\n", "[[["):
        value, goes_on = read_yaml(f"a: 1\n---\n{behind}")
        assert goes_on
        assert len(value.pairs) == 1
    assert read_yaml("a: 1\n...\n")[1] is False


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "line 1: holds more than 200000 values"),
        ("a: &a [*a, *a]", f"line 1: nests deeper than {MAX_DEPTH} levels"),
        (
            f"a: &a {'x' * 50_000}\nb: [{'*a, ' * 100}]",
            f"line 1: holds more than {MAX_TEXT} characters",
        ),
        ("[" * 101 + "]" * 101, f"line 1: nests deeper than {MAX_DEPTH} levels"),
        ("[" * 5_000, f"line 1: nests deeper than {MAX_DEPTH} levels"),
        ("a: *b", "line 1: found undefined alias 'b'"),
        ("a: 1\nb: \x07", "line 2: control characters are not allowed"),
        ("<<: 1", "line 1: map merge requires map or sequence of maps as the value"),
        ("a: !thing {}", "line 1: tags are not read"),
        ("a: !!binary aGk=", "line 1: tags are not read"),
        ('"\\UFFFFFFFF"', "line 1: an escape stands for no character"),
        ('"\\U00110000"', "line 1: an escape stands for no character"),
        ('a: "\\udc00"', "line 1: an escape stands for no character"),
    ],
)
def test_what_cannot_be_read(text: str, reason: str) -> None:
    """Each with its line, and before it takes time or memory."""
    with pytest.raises(NotYamlError) as caught:
        read_yaml(text)
    assert str(caught.value) == f"yaml: {reason}"


def test_values_are_counted_wherever_an_alias_puts_them() -> None:
    """A list of a thousand, and aliases of it up to the bound and beyond."""
    text = f"- &a [{', '.join(['x'] * 999)}]\n"
    assert len(read_yaml(text + "- *a\n" * 198)[0].items) == 199
    with pytest.raises(NotYamlError):
        read_yaml(text + "- *a\n" * 200)


def test_a_hundred_levels_can_be_read() -> None:
    """Twice as many as the deepest descriptors that anybody writes by hand."""
    assert read_yaml("[" * 100 + "]" * 100)[0].kind is Kind.LIST
