"""Charges and hits that have been sent and not answered."""

from authz_service.core.hits import Fixed, Hit
from authz_service.core.rules import Charge, Period, Quota, Rate
from authz_service.storage.under_way import UnderWay

TEN = Rate(name="r", limit=10, window_ms=1_000)
DAY = Quota(name="r", limit=10, period=Period.DAY, zone="UTC")
MANY = Rate(name="r", limit=10_000, window_ms=1_000)


def test_places_are_those_of_one_subject_and_one_counter() -> None:
    """A quota and a large rate of the same name are other counters."""
    under_way = UnderWay()
    under_way.began("key:a", (Charge(TEN, 2), Charge(DAY, 3)))
    under_way.began("key:a", (Charge(TEN, 2),))
    under_way.began("key:b", (Charge(TEN, 7),))
    found = [under_way.places("key:a", limit) for limit in (TEN, DAY, MANY)]
    assert found == [4, 3, 0]
    assert under_way.places("key:c", TEN) == 0


def test_what_has_ended_takes_no_places() -> None:
    """Equal charges are ended one by one."""
    under_way = UnderWay()
    for _ in range(2):
        under_way.began("key:a", (Charge(TEN, 2),))
    left = []
    for _ in range(2):
        under_way.ended("key:a", (Charge(TEN, 2),))
        left.append(under_way.places("key:a", TEN))
    assert left == [2, 0]
    assert not under_way._by_subject


def test_hits_take_places_as_charges_do() -> None:
    """The same one twice takes both; a fixed window of the same name is another counter."""
    under_way = UnderWay()
    window = Fixed(name="r", limit=10, window_ms=1_000)
    hits = (Hit("a", TEN, 2), Hit("a", TEN, 2), Hit("a", window, 3))
    for hit in hits:
        under_way.began(hit.subject, (hit,))
    assert [under_way.places("a", limit) for limit in (TEN, window, MANY)] == [4, 3, 0]
    under_way.ended("a", hits[:1])
    assert under_way.places("a", TEN) == 2
