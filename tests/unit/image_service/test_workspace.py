from pathlib import Path

from image_service.workspace import workspace


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
