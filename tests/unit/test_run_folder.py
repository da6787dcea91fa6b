"""A run folder belongs to one service."""

from pathlib import Path

import pytest

from authz_service.errors import ListenError
from authz_service.run_folder import claimed


def test_a_second_claim_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    """The message says which folder; afterwards the folder is free again."""
    with claimed(tmp_path), pytest.raises(ListenError, match=str(tmp_path)), claimed(tmp_path):
        pass

    with claimed(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").touch()

    with pytest.raises(ListenError, match="cannot write to"), claimed(tmp_path / "file" / "run"):
        pass
