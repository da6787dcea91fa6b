from pathlib import Path

import pytest

from image_service.workspace import private_folder, workspace


def test_the_folder_goes_with_its_process(tmp_path: Path) -> None:
    """Whatever was kept in it goes too."""
    with workspace(tmp_path) as folder:
        (folder / "kept").write_bytes(b"x")
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_an_abandoned_folder_is_removed(tmp_path: Path) -> None:
    """What a killed process left behind does not pile up."""
    abandoned = tmp_path / "image_service-killed"
    abandoned.mkdir()
    (abandoned / ".lock").touch()
    (abandoned / "kept").write_bytes(b"x")
    with workspace(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_a_living_neighbour_is_left_alone(tmp_path: Path) -> None:
    """Two services on one machine do not clear each other away."""
    with workspace(tmp_path) as first, workspace(tmp_path) as second:
        assert first != second
        assert {first, second} == set(tmp_path.iterdir())


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    """Without our lock, or by another name, it is not ours to remove."""
    for name in ("image_service-without-lock", "something-else"):
        (tmp_path / name).mkdir()
    (tmp_path / "something-else" / ".lock").touch()
    with workspace(tmp_path):
        pass
    assert len(list(tmp_path.iterdir())) == 2


def test_the_folder_of_files_is_no_folder_of_a_process(tmp_path: Path) -> None:
    """It has a name like theirs and no lock: whoever tidies up leaves it alone."""
    private_folder(tmp_path / "image_service-files")
    (tmp_path / "image_service-files" / "kept").touch()
    with workspace(tmp_path):
        assert (tmp_path / "image_service-files" / "kept").exists()


def test_a_private_folder_is_private(tmp_path: Path) -> None:
    """Made so, and taken up again by the next process."""
    folder = tmp_path / "files"
    for _ in range(2):
        private_folder(folder)
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_look_into_is_refused(tmp_path: Path) -> None:
    """Somebody may have made it to read what is put there; a link may lead anywhere."""
    shared, link = tmp_path / "shared", tmp_path / "link"
    shared.mkdir()
    shared.chmod(0o750)
    link.symlink_to(tmp_path)
    for folder in (shared, link):
        with pytest.raises(ValueError, match=r"is not ours alone"):
            private_folder(folder)
    with pytest.raises(ValueError, match=r"cannot be made \(No such file"):
        private_folder(tmp_path / "none" / "folder")
