"""Folders of descriptor files."""

import os
from pathlib import Path

import pytest

from authz_service.descriptors.sources import (
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_FOLDER_BYTES,
    hidden_names,
    load_descriptors,
    read_folder,
    watched_paths,
)
from authz_service.errors import ConfigurationError


def write(folder: Path, **files: str) -> None:
    """Files with one domain each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, domain in files.items():
        (folder / f"{name}.yaml").write_text(f"domain: {domain}\n")


def domains(folder: Path) -> list[str]:
    """The domains that a folder has rules for."""
    return sorted(load_descriptors(folder).domains)


def problems(folder: Path) -> tuple[str, ...]:
    """What is wrong with a folder."""
    with pytest.raises(ConfigurationError) as caught:
        load_descriptors(folder)
    return caught.value.problems


def test_every_file_of_every_folder_is_read(tmp_path: Path) -> None:
    """Whatever it is called; its id has its folders in it."""
    write(tmp_path, a="a")
    write(tmp_path / "config" / "more", b="b")
    (tmp_path / "config" / "README").write_text("domain: c")
    assert [file.id for file in read_folder(tmp_path)] == [
        "a.yaml",
        "config.README",
        "config.more.b.yaml",
    ]
    assert domains(tmp_path) == ["a", "b", "c"]


def test_names_with_a_dot_in_front_are_passed_over(tmp_path: Path) -> None:
    """Files and whole folders."""
    write(tmp_path, a="a")
    write(tmp_path, **{".hidden": "b"})
    write(tmp_path / ".git", c="c")
    write(tmp_path / "inner" / ".git", d="d")
    assert domains(tmp_path) == ["a"]
    assert hidden_names(tmp_path) == [".git", ".hidden.yaml"]


def test_an_empty_folder_has_no_rules(tmp_path: Path) -> None:
    """Which is no error."""
    assert domains(tmp_path) == []


def config_map(folder: Path, version: str, **files: str) -> None:
    """A folder as a kubelet writes it: links into a hidden folder that is swapped as a whole."""
    write(folder / f"..{version}", **files)
    fresh = folder / "..data_tmp"
    fresh.symlink_to(f"..{version}")
    fresh.replace(folder / "..data")
    for name in files:
        visible = folder / f"{name}.yaml"
        if not visible.is_symlink():
            visible.symlink_to(f"..data/{name}.yaml")


def test_the_files_of_a_config_map_are_read_once(tmp_path: Path) -> None:
    """Through the links that can be seen, not from the hidden folder beside them as well."""
    config_map(tmp_path, "2027_01", a="a", b="b")
    assert [file.id for file in read_folder(tmp_path)] == ["a.yaml", "b.yaml"]
    assert hidden_names(tmp_path) == []
    config_map(tmp_path, "2027_02", a="c", b="d")
    assert domains(tmp_path) == ["c", "d"]


def test_a_config_map_is_read_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is swapped in between two files is read the next time."""
    config_map(tmp_path, "2027_01", a="a", b="b")
    is_file = Path.is_file
    swapped: list[Path] = []

    def swap_after_the_first(path: Path) -> bool:
        if not swapped:
            swapped.append(path)
            config_map(tmp_path, "2027_02", a="c", b="d")
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", swap_after_the_first)
    assert domains(tmp_path) == ["a", "b"]
    assert domains(tmp_path) == ["c", "d"]


def test_a_folder_behind_a_link_is_read_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that is pointed elsewhere in between plays no part."""
    write(tmp_path / "one", a="a", b="b")
    write(tmp_path / "two", a="c", b="d")
    current = tmp_path / "current"
    current.symlink_to("one")
    is_file = Path.is_file

    def point_elsewhere(path: Path) -> bool:
        current.unlink()
        current.symlink_to("two")
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", point_elsewhere)
    assert domains(current) == ["a", "b"]
    assert domains(current) == ["c", "d"]


def test_every_folder_is_looked_at(tmp_path: Path) -> None:
    """Also an empty one and one with folders only: a file may come into each."""
    write(tmp_path / "outer" / "inner", a="a")
    (tmp_path / "empty").mkdir()
    folders = {tmp_path, tmp_path / "outer", tmp_path / "outer" / "inner", tmp_path / "empty"}
    assert set(watched_paths(tmp_path)) == {*folders, tmp_path / "outer" / "inner" / "a.yaml"}


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    """A link to a folder around itself adds nothing."""
    write(tmp_path, a="a")
    (tmp_path / "again").symlink_to(".")
    assert domains(tmp_path) == ["a"]
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    assert "cannot be read" in problems(loop)[0]


def test_what_cannot_be_read_is_told_by_its_id(tmp_path: Path) -> None:
    """Links that lead nowhere, pipes and files that are too large; all at once."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    assert problems(tmp_path) == (
        f"large: holds more than {MAX_FILE_BYTES} bytes",
        "pipe: is no regular file",
        "sub.gone: cannot be read: No such file or directory",
    )


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """By the name it was given."""
    assert problems(tmp_path / "no") == (
        f"{tmp_path}/no: cannot be read: No such file or directory",
    )


def test_too_many_files_are_told(tmp_path: Path) -> None:
    """Before any of them is read."""
    for number in range(MAX_FILES + 1):
        (tmp_path / str(number)).touch()
    assert problems(tmp_path) == (f"{tmp_path}: holds more than {MAX_FILES} files",)


def test_a_folder_that_holds_too_much_is_told(tmp_path: Path) -> None:
    """As much as is allowed is read; after one byte more nothing is read any further."""
    for number in range(MAX_FOLDER_BYTES // MAX_FILE_BYTES):
        (tmp_path / str(number)).write_bytes(b"#" * MAX_FILE_BYTES)
    assert len(read_folder(tmp_path)) == MAX_FOLDER_BYTES // MAX_FILE_BYTES
    (tmp_path / "90").write_bytes(b"#")
    (tmp_path / "91").symlink_to("nowhere")
    assert problems(tmp_path) == (f"{tmp_path}: holds more than {MAX_FOLDER_BYTES} bytes",)


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    """In a file, and in its name."""
    (tmp_path / os.fsdecode(b"a\xff.yaml")).write_bytes(b"domain: \xff\n")
    assert problems(tmp_path) == (
        (
            "a\\udcff.yaml: error loading config file:"
            " yaml: line 1: control characters are not allowed"
        ),
    )
