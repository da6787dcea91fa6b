"""What `JobStore` promises, held against every implementation."""

import asyncio
from typing import Protocol

import pytest

from image_service.core.formats import ImageFormat
from image_service.core.spec import TransformSpec
from image_service.errors import StoreFullError
from image_service.jobs import KEPT_MS, IdempotencyKey, Job, Result
from image_service.storage.base import Claim, JobStore
from image_service.storage.memory import CLAIM_KEPT_MS, MemoryJobStore

_NOW = 1_000_000
_RESULT = Result("somewhere", 10, "image/png", '"e"')


class _MakeStore(Protocol):
    def __call__(self, *, max_jobs: int = ...) -> JobStore:
        """A new, empty store."""


def _memory(*, max_jobs: int = 100) -> JobStore:
    return MemoryJobStore(max_jobs=max_jobs)


@pytest.fixture(params=[_memory], ids=["memory"])
def make_store(request: pytest.FixtureRequest) -> _MakeStore:
    """Every implementation in turn."""
    make: _MakeStore = request.param
    return make


def _job(job_id: str = "1", subject: str = "key:a", key: str | None = None) -> Job:
    return Job(
        job_id=job_id,
        subject=subject,
        spec=TransformSpec(2, ImageFormat.PNG, 90),
        request_id="r",
        created_ms=_NOW,
        idempotency=None if key is None else IdempotencyKey(key, "print"),
    )


async def test_a_kept_job_is_found_by_its_subject_alone(make_store: _MakeStore) -> None:
    """Somebody else's job does not exist."""
    store = make_store()
    await store.create(_job(), now_ms=_NOW)
    assert await store.get("key:a", "1", now_ms=_NOW) == _job()
    assert await store.get("key:b", "1", now_ms=_NOW) is None
    assert await store.get("key:a", "2", now_ms=_NOW) is None


async def test_a_job_ends_after_a_day(make_store: _MakeStore) -> None:
    """To the millisecond, whether or not anybody has tidied up."""
    store = make_store()
    await store.create(_job(), now_ms=_NOW)
    assert await store.get("key:a", "1", now_ms=_NOW + KEPT_MS - 1) is not None
    assert await store.get("key:a", "1", now_ms=_NOW + KEPT_MS) is None


async def test_only_the_next_revision_is_accepted(make_store: _MakeStore) -> None:
    """Of two that moved the same job, one learns that it was too late."""
    store = make_store()
    await store.create(_job(), now_ms=_NOW)
    assert await store.update(_job().started(_NOW))
    assert not await store.update(_job().cancelled(_NOW))
    kept = await store.get("key:a", "1", now_ms=_NOW)
    assert kept == _job().started(_NOW)


async def test_of_many_movers_exactly_one_wins(make_store: _MakeStore) -> None:
    """Looking and changing is one step."""
    store = make_store()
    await store.create(_job(), now_ms=_NOW)
    moves = [store.update(_job().cancelled(_NOW + moment)) for moment in range(50)]
    assert sum(await asyncio.gather(*moves)) == 1


async def test_a_forgotten_job_cannot_be_moved(make_store: _MakeStore) -> None:
    """A worker that comes late does not bring it back."""
    store = make_store()
    await store.create(_job(), now_ms=_NOW)
    assert await store.delete("key:a", "1")
    assert not await store.update(_job().started(_NOW))
    assert await store.get("key:a", "1", now_ms=_NOW) is None


async def test_only_the_owner_can_delete(make_store: _MakeStore) -> None:
    """Knowing the name is not enough."""
    store = make_store()
    await store.create(_job(), now_ms=_NOW)
    assert not await store.delete("key:b", "1")
    assert await store.delete("key:a", "1")
    assert not await store.delete("key:a", "1")


async def test_waiting_ends_with_the_job(make_store: _MakeStore) -> None:
    """Whoever waits gets the final job at once."""
    store = make_store()
    await store.create(_job(), now_ms=_NOW)
    waiting = asyncio.create_task(store.settled("key:a", "1", now_ms=_NOW, timeout_s=3_600))
    await asyncio.sleep(0)
    running = _job().started(_NOW)
    await store.update(running)
    await store.update(running.succeeded(_RESULT, _NOW))
    assert await waiting == running.succeeded(_RESULT, _NOW)


async def test_waiting_ends_with_the_time(make_store: _MakeStore) -> None:
    """Then the job is given as it stands."""
    store = make_store()
    await store.create(_job(), now_ms=_NOW)
    assert await store.settled("key:a", "1", now_ms=_NOW, timeout_s=0.01) == _job()


async def test_waiting_for_a_final_job_takes_no_time(make_store: _MakeStore) -> None:
    """Not even when no time was given."""
    store = make_store()
    await store.create(_job(), now_ms=_NOW)
    await store.update(_job().cancelled(_NOW))
    assert await store.settled("key:a", "1", now_ms=_NOW, timeout_s=0) == _job().cancelled(_NOW)


async def test_waiting_ends_when_the_job_is_deleted(make_store: _MakeStore) -> None:
    """Nobody waits for what is gone."""
    store = make_store()
    await store.create(_job(), now_ms=_NOW)
    waiting = asyncio.create_task(store.settled("key:a", "1", now_ms=_NOW, timeout_s=3_600))
    await asyncio.sleep(0)
    await store.delete("key:a", "1")
    assert await waiting is None


async def test_nobody_waits_for_somebody_elses_job(make_store: _MakeStore) -> None:
    """It does not exist for them."""
    store = make_store()
    await store.create(_job(), now_ms=_NOW)
    assert await store.settled("key:b", "1", now_ms=_NOW, timeout_s=3_600) is None


async def test_of_many_claimants_one_gets_the_key(make_store: _MakeStore) -> None:
    """All see the same holder."""
    store = make_store()
    claims = await asyncio.gather(
        *(store.claim("key:a", "k", str(number), now_ms=_NOW) for number in range(20))
    )
    assert len(set(claims)) == 1


async def test_a_key_belongs_to_one_subject(make_store: _MakeStore) -> None:
    """Two clients may choose the same words."""
    store = make_store()
    assert await store.claim("key:a", "k", "1", now_ms=_NOW) == Claim("1", None)
    assert await store.claim("key:b", "k", "2", now_ms=_NOW) == Claim("2", None)


async def test_a_job_confirms_its_claim(make_store: _MakeStore) -> None:
    """From then on the key leads to the job, for as long as the job is kept."""
    store = make_store()
    await store.claim("key:a", "k", "1", now_ms=_NOW)
    await store.create(_job(key="k"), now_ms=_NOW)
    for later in (0, KEPT_MS - 1):
        assert await store.claim("key:a", "k", "2", now_ms=_NOW + later) == Claim("1", "print")
    assert await store.claim("key:a", "k", "2", now_ms=_NOW + KEPT_MS) == Claim("2", None)


async def test_a_released_key_is_free(make_store: _MakeStore) -> None:
    """A request that came to nothing may be sent again."""
    store = make_store()
    await store.claim("key:a", "k", "1", now_ms=_NOW)
    await store.release("key:a", "k", "1")
    assert await store.claim("key:a", "k", "2", now_ms=_NOW) == Claim("2", None)


async def test_nobody_releases_what_they_do_not_hold(make_store: _MakeStore) -> None:
    """Neither another request's claim nor a confirmed one."""
    store = make_store()
    await store.claim("key:a", "k", "1", now_ms=_NOW)
    await store.release("key:a", "k", "2")
    await store.create(_job(key="k"), now_ms=_NOW)
    await store.release("key:a", "k", "1")
    assert await store.claim("key:a", "k", "3", now_ms=_NOW) == Claim("1", "print")


async def test_an_abandoned_claim_lapses(make_store: _MakeStore) -> None:
    """A claimant that died does not hold the key for ever."""
    store = make_store()
    await store.claim("key:a", "k", "1", now_ms=_NOW)
    late = _NOW + CLAIM_KEPT_MS
    assert await store.claim("key:a", "k", "2", now_ms=late - 1) == Claim("1", None)
    assert await store.claim("key:a", "k", "2", now_ms=late) == Claim("2", None)


@pytest.mark.parametrize("forget", ["delete", "expire"])
async def test_a_forgotten_jobs_key_is_free(make_store: _MakeStore, forget: str) -> None:
    """A key never leads to a job that is gone."""
    store = make_store()
    await store.create(_job(key="k"), now_ms=_NOW)
    if forget == "delete":
        await store.delete("key:a", "1")
    else:
        await store.expire(now_ms=_NOW + KEPT_MS)
    assert await store.claim("key:a", "k", "2", now_ms=_NOW) == Claim("2", None)


async def test_expiry_tells_each_job_once(make_store: _MakeStore) -> None:
    """So that each result is removed, and by one process only."""
    store = make_store()
    await store.create(_job("1"), now_ms=_NOW)
    await store.create(_job("2"), now_ms=_NOW)
    assert await store.expire(now_ms=_NOW + KEPT_MS - 1) == ()
    expired = await store.expire(now_ms=_NOW + KEPT_MS)
    assert {job.job_id for job in expired} == {"1", "2"}
    assert await store.expire(now_ms=_NOW + KEPT_MS) == ()


async def test_a_full_store_says_so(make_store: _MakeStore) -> None:
    """Nothing is pushed out before its time."""
    store = make_store(max_jobs=2)
    await store.create(_job("1"), now_ms=_NOW)
    await store.create(_job("2"), now_ms=_NOW)
    with pytest.raises(StoreFullError):
        await store.create(_job("3"), now_ms=_NOW)
    assert await store.get("key:a", "1", now_ms=_NOW) is not None


async def test_what_has_expired_makes_room(make_store: _MakeStore) -> None:
    """A full store takes new jobs again once old ones are over."""
    store = make_store(max_jobs=1)
    await store.create(_job("1"), now_ms=_NOW)
    await store.create(_job("2"), now_ms=_NOW + KEPT_MS)
    assert await store.get("key:a", "2", now_ms=_NOW) is not None


async def test_claims_are_bounded(make_store: _MakeStore) -> None:
    """Keys without jobs cannot fill the memory."""
    store = make_store(max_jobs=2)
    await store.claim("key:a", "1", "1", now_ms=_NOW)
    await store.claim("key:a", "2", "2", now_ms=_NOW)
    with pytest.raises(StoreFullError):
        await store.claim("key:a", "3", "3", now_ms=_NOW)
    await store.expire(now_ms=_NOW + CLAIM_KEPT_MS)
    assert await store.claim("key:a", "3", "3", now_ms=_NOW) == Claim("3", None)
