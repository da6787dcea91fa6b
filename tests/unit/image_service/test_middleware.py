import pytest

from image_service.middleware import request_id_of


@pytest.mark.parametrize("value", ["abc-123", "a", "A.b_c:d-9", "x" * 128])
def test_a_sane_id_is_kept(value: str) -> None:
    """One id goes through everything."""
    assert request_id_of(value, lambda: "new") == value


@pytest.mark.parametrize("value", [None, "", "x" * 129, "a b", "a\nb", "ä", "a\n", '{"a":1}'])
def test_any_other_is_replaced(value: str | None) -> None:
    """What is not fit for a log line never gets there."""
    assert request_id_of(value, lambda: "new") == "new"
