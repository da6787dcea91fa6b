"""What `JobStore` promises, held against every implementation."""

import asyncio
from dataclasses import replace

import pytest

from image_service.errors import ClaimLostError, QueueFullError, StoreFullError
from image_service.jobs import KEPT_MS, IdempotencyKey, Job, JobError, JobErrorCode, JobStatus
from image_service.storage.base import Claim
from image_service.storage.redis.jobs import CLAIM_KEPT_MS
from tests.conformance.image_service.conftest import NOW, RESULT, MakeStore, a_job

_HOSTILE = ["", " ", "\x00", "a:b*", "\r\n$5", "é" * 500, "\ud800", "{x}", "x" * 100_000]


async def test_a_kept_job_is_found_by_its_subject_alone(make_store: MakeStore) -> None:
    """Somebody else's job does not exist."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    assert await store.get("key:a", "1", now_ms=NOW) == a_job()
    assert await store.get("key:b", "1", now_ms=NOW) is None
    assert await store.get("key:a", "2", now_ms=NOW) is None


async def test_a_job_ends_after_a_day(make_store: MakeStore) -> None:
    """To the millisecond, whether or not anybody has tidied up."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    assert await store.get("key:a", "1", now_ms=NOW + KEPT_MS - 1) is not None
    assert await store.get("key:a", "1", now_ms=NOW + KEPT_MS) is None


async def test_only_the_next_revision_is_accepted(make_store: MakeStore) -> None:
    """Of two that moved the same job, one learns that it was too late."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    assert await store.update(a_job().started(NOW))
    assert not await store.update(a_job().cancelled(NOW))
    kept = await store.get("key:a", "1", now_ms=NOW)
    assert kept == a_job().started(NOW)


async def test_of_many_movers_exactly_one_wins(make_store: MakeStore) -> None:
    """Looking and changing is one step."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    moves = [store.update(a_job().cancelled(NOW + moment)) for moment in range(50)]
    assert sum(await asyncio.gather(*moves)) == 1


async def test_a_forgotten_job_cannot_be_moved(make_store: MakeStore) -> None:
    """A worker that comes late does not bring it back."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    assert await store.delete("key:a", "1")
    assert not await store.update(a_job().started(NOW))
    assert await store.get("key:a", "1", now_ms=NOW) is None


async def test_only_the_owner_can_delete(make_store: MakeStore) -> None:
    """Knowing the name is not enough."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    assert not await store.delete("key:b", "1")
    assert await store.delete("key:a", "1")
    assert not await store.delete("key:a", "1")


async def test_waiting_ends_with_thea_job(make_store: MakeStore) -> None:
    """Whoever waits gets the final job at once."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    waiting = asyncio.create_task(store.settled("key:a", "1", now_ms=NOW, timeout_s=3_600))
    await asyncio.sleep(0)
    running = a_job().started(NOW)
    await store.update(running)
    await store.update(running.succeeded(RESULT, NOW))
    assert await waiting == running.succeeded(RESULT, NOW)


async def test_waiting_ends_with_the_time(make_store: MakeStore) -> None:
    """Then the job is given as it stands."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    assert await store.settled("key:a", "1", now_ms=NOW, timeout_s=0.01) == a_job()


async def test_waiting_for_a_final_job_takes_no_time(make_store: MakeStore) -> None:
    """Not even when no time was given."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    await store.update(a_job().cancelled(NOW))
    assert await store.settled("key:a", "1", now_ms=NOW, timeout_s=0) == a_job().cancelled(NOW)


async def test_waiting_ends_when_the_job_is_deleted(make_store: MakeStore) -> None:
    """Nobody waits for what is gone."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    waiting = asyncio.create_task(store.settled("key:a", "1", now_ms=NOW, timeout_s=3_600))
    await asyncio.sleep(0)
    await store.delete("key:a", "1")
    assert await waiting is None


async def test_nobody_waits_for_somebody_elsesa_job(make_store: MakeStore) -> None:
    """It does not exist for them."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    assert await store.settled("key:b", "1", now_ms=NOW, timeout_s=3_600) is None


async def test_of_many_claimants_one_gets_the_key(make_store: MakeStore) -> None:
    """All see the same holder."""
    store = make_store()
    claims = await asyncio.gather(
        *(store.claim("key:a", "k", str(number), now_ms=NOW) for number in range(20))
    )
    assert len(set(claims)) == 1


async def test_a_key_belongs_to_one_subject(make_store: MakeStore) -> None:
    """Two clients may choose the same words."""
    store = make_store()
    assert await store.claim("key:a", "k", "1", now_ms=NOW) == Claim("1", None)
    assert await store.claim("key:b", "k", "2", now_ms=NOW) == Claim("2", None)


async def test_a_job_confirms_its_claim(make_store: MakeStore) -> None:
    """From then on the key leads to the job, for as long as the job is kept."""
    store = make_store()
    await store.claim("key:a", "k", "1", now_ms=NOW)
    await store.create(a_job(key="k"), now_ms=NOW)
    for later in (0, KEPT_MS - 1):
        assert await store.claim("key:a", "k", "2", now_ms=NOW + later) == Claim("1", "print")
    assert await store.claim("key:a", "k", "2", now_ms=NOW + KEPT_MS) == Claim("2", None)


async def test_a_released_key_is_free(make_store: MakeStore) -> None:
    """A request that came to nothing may be sent again."""
    store = make_store()
    await store.claim("key:a", "k", "1", now_ms=NOW)
    await store.release("key:a", "k", "1")
    assert await store.claim("key:a", "k", "2", now_ms=NOW) == Claim("2", None)


async def test_nobody_releases_what_they_do_not_hold(make_store: MakeStore) -> None:
    """Neither another request's claim nor a confirmed one."""
    store = make_store()
    await store.claim("key:a", "k", "1", now_ms=NOW)
    await store.release("key:a", "k", "2")
    assert await store.claim("key:a", "k", "3", now_ms=NOW) == Claim("1", None)
    await store.create(a_job(key="k"), now_ms=NOW)
    await store.release("key:a", "k", "1")
    assert await store.claim("key:a", "k", "3", now_ms=NOW) == Claim("1", "print")


async def test_an_abandoned_claim_lapses(make_store: MakeStore) -> None:
    """A claimant that died does not hold the key for ever."""
    store = make_store()
    await store.claim("key:a", "k", "1", now_ms=NOW)
    late = NOW + CLAIM_KEPT_MS
    assert await store.claim("key:a", "k", "2", now_ms=late - 1) == Claim("1", None)
    assert await store.claim("key:a", "k", "2", now_ms=late) == Claim("2", None)


@pytest.mark.parametrize("forget", ["delete", "expire"])
async def test_a_forgotten_jobs_key_is_free(make_store: MakeStore, forget: str) -> None:
    """A key never leads to a job that is gone."""
    store = make_store()
    await store.create(a_job(key="k"), now_ms=NOW)
    if forget == "delete":
        await store.delete("key:a", "1")
    else:
        await store.expire(now_ms=NOW + KEPT_MS)
    assert await store.claim("key:a", "k", "2", now_ms=NOW) == Claim("2", None)


async def test_expiry_tells_each_job_once(make_store: MakeStore) -> None:
    """So that each result is removed, and by one process only."""
    store = make_store()
    await store.create(a_job("1"), now_ms=NOW)
    await store.create(a_job("2"), now_ms=NOW)
    assert await store.expire(now_ms=NOW + KEPT_MS - 1) == ()
    expired = await store.expire(now_ms=NOW + KEPT_MS)
    assert {job.job_id for job in expired} == {"1", "2"}
    assert await store.expire(now_ms=NOW + KEPT_MS) == ()


async def test_a_full_store_says_so(make_store: MakeStore) -> None:
    """Nothing is pushed out before its time."""
    store = make_store(max_jobs=2)
    await store.create(a_job("1"), now_ms=NOW)
    await store.create(a_job("2"), now_ms=NOW)
    with pytest.raises(StoreFullError):
        await store.create(a_job("3"), now_ms=NOW)
    assert await store.get("key:a", "1", now_ms=NOW) is not None


async def test_what_was_forgotten_makes_room(make_store: MakeStore) -> None:
    """A full store takes new jobs again once it has told of those that are over."""
    store = make_store(max_jobs=1)
    await store.create(a_job("1"), now_ms=NOW)
    assert not await store.has_room()
    await store.expire(now_ms=NOW + KEPT_MS)
    assert await store.has_room()
    await store.create(a_job("2"), now_ms=NOW + KEPT_MS)


async def test_a_full_queue_says_so(make_store: MakeStore) -> None:
    """Nothing of the job is kept, nor does its key lead to it; there is room once one runs."""
    store = make_store(queue_limit=1)
    await store.create(a_job("1"), now_ms=NOW)
    assert not await store.has_room()
    with pytest.raises(QueueFullError):
        await store.create(a_job("2", key="k"), now_ms=NOW)
    assert await store.known(["1", "2"]) == {"1"}
    assert await store.claim("key:a", "k", "3", now_ms=NOW) == Claim("3", None)
    await store.update(a_job("1").started(NOW))
    assert await store.has_room()
    await store.create(a_job("2"), now_ms=NOW)


async def test_a_job_created_again_is_left_as_it_stands(make_store: MakeStore) -> None:
    """Whoever did not hear the first answer asks again, full or not, and takes nothing back."""
    store = make_store(queue_limit=1, max_jobs=1)
    await store.create(a_job(), now_ms=NOW)
    await store.create(a_job(), now_ms=NOW)
    await store.update(a_job().started(NOW))
    await store.create(a_job(), now_ms=NOW)
    assert await store.get("key:a", "1", now_ms=NOW) == a_job().started(NOW)
    assert await store.waiting() == 0


async def test_an_update_said_twice_is_true_twice(make_store: MakeStore) -> None:
    """Until somebody else has moved the job on."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    running = a_job().started(NOW)
    assert [await store.update(running), await store.update(running)] == [True, True]
    assert not await store.update(a_job().started(NOW + 1))
    assert await store.update(running.progressed(5))
    assert not await store.update(running)


async def test_a_revision_cannot_be_left_out(make_store: MakeStore) -> None:
    """Whoever is two steps ahead has not seen what is kept."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    assert not await store.update(a_job().started(NOW).progressed(5))
    assert await store.get("key:a", "1", now_ms=NOW) == a_job()


async def test_only_queued_jobs_wait(make_store: MakeStore) -> None:
    """A job waits until it is begun, and again when it is handed back."""
    store = make_store()
    assert await store.waiting() == 0
    await store.create(a_job(), now_ms=NOW)
    assert await store.waiting() == 1
    running = a_job().started(NOW)
    await store.update(running)
    assert await store.waiting() == 0
    await store.update(running.handed_back())
    assert await store.waiting() == 1
    await store.update(running.handed_back().cancelled(NOW))
    assert await store.waiting() == 0


@pytest.mark.parametrize("forget", ["delete", "expire"])
async def test_a_forgotten_job_is_in_no_list(make_store: MakeStore, forget: str) -> None:
    """It neither waits nor is unfinished nor known."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    if forget == "delete":
        await store.delete("key:a", "1")
    else:
        await store.expire(now_ms=NOW + KEPT_MS)
    assert await store.waiting() == 0
    assert await store.unfinished(created_before_ms=NOW + 1) == ()
    assert await store.known(["1"]) == frozenset()


async def test_the_unfinished_come_oldest_first(make_store: MakeStore) -> None:
    """Queued and running ones that were created before the moment, as they stand."""
    store = make_store()
    jobs = [a_job(str(number), created_ms=NOW - number) for number in range(4)]
    for job in jobs:
        await store.create(job, now_ms=NOW)
    await store.update(jobs[1].started(NOW))
    await store.update(jobs[2].cancelled(NOW))
    found = await store.unfinished(created_before_ms=NOW)
    assert found == (jobs[3], jobs[1].started(NOW))


async def test_no_more_than_a_thousand_unfinished_are_told_at_once(make_store: MakeStore) -> None:
    """The oldest of them, so that all are told in the end."""
    store = make_store(queue_limit=2_000, max_jobs=2_000)
    jobs = [a_job(f"{number:04}", created_ms=NOW - number) for number in range(1_001)]
    for job in jobs:
        await store.create(job, now_ms=NOW)
    found = await store.unfinished(created_before_ms=NOW + 1)
    assert [job.job_id for job in found] == [job.job_id for job in reversed(jobs[1:])]


async def test_jobs_are_known_whoevers_they_are(make_store: MakeStore) -> None:
    """However many are asked about."""
    store = make_store()
    await store.create(a_job("1", "key:a"), now_ms=NOW)
    await store.create(a_job("2500", "key:b"), now_ms=NOW)
    assert await store.known([str(number) for number in range(3_000)]) == {"1", "2500"}
    assert await store.known([]) == frozenset()


async def test_many_expire_at_once(make_store: MakeStore) -> None:
    """All of them are told, whatever their status, and none that still has time."""
    store = make_store()
    for number in range(250):
        await store.create(a_job(str(number), key=str(number)), now_ms=NOW)
    await store.update(a_job("7", key="7").started(NOW))
    late = a_job("late", created_ms=NOW + 1)
    await store.create(late, now_ms=NOW)
    expired = await store.expire(now_ms=NOW + KEPT_MS)
    assert sorted(int(job.job_id) for job in expired) == list(range(250))
    assert a_job("7", key="7").started(NOW) in expired
    assert await store.unfinished(created_before_ms=NOW + 2) == (late,)


async def test_a_confirmed_key_goes_with_its_own_job_only(make_store: MakeStore) -> None:
    """A job whose claim lapsed and was taken over does not take the key of the other along."""
    store = make_store()
    await store.create(a_job("1", key="k"), now_ms=NOW)
    later = NOW + KEPT_MS
    assert await store.claim("key:a", "k", "2", now_ms=later) == Claim("2", None)
    await store.delete("key:a", "1")
    assert await store.claim("key:a", "k", "3", now_ms=later) == Claim("2", None)


@pytest.mark.parametrize("confirmed", [True, False])
async def test_no_job_is_made_under_a_key_that_somebody_else_has(
    make_store: MakeStore, *, confirmed: bool
) -> None:
    """One key never leads to two jobs: whoever took too long makes none."""
    store = make_store()
    await store.claim("key:a", "k", "1", now_ms=NOW)
    late = NOW + CLAIM_KEPT_MS
    await store.claim("key:a", "k", "2", now_ms=late)
    if confirmed:
        await store.create(a_job("2", key="k"), now_ms=late)
    with pytest.raises(ClaimLostError):
        await store.create(a_job("1", key="k"), now_ms=late)
    assert await store.get("key:a", "1", now_ms=late) is None
    holder = Claim("2", "print" if confirmed else None)
    assert await store.claim("key:a", "k", "3", now_ms=late) == holder


async def test_a_claimant_that_asks_again_holds_its_claim_for_longer(
    make_store: MakeStore,
) -> None:
    """Whoever did not hear the first answer asks again, and whoever takes long goes on asking."""
    store = make_store()
    for later in (0, CLAIM_KEPT_MS - 1):
        assert await store.claim("key:a", "k", "1", now_ms=NOW + later) == Claim("1", None)
    late = NOW + 2 * CLAIM_KEPT_MS - 2
    assert await store.claim("key:a", "k", "2", now_ms=late) == Claim("1", None)
    assert await store.claim("key:a", "k", "2", now_ms=late + 1) == Claim("2", None)


async def test_a_late_question_of_the_claimant_leaves_the_confirmed_key_alone(
    make_store: MakeStore,
) -> None:
    """The job is there already: its key lasts as long as it does."""
    store = make_store()
    await store.create(a_job(key="k"), now_ms=NOW)
    assert await store.claim("key:a", "k", "1", now_ms=NOW) == Claim("1", "print")
    late = NOW + KEPT_MS - 1
    assert await store.claim("key:a", "k", "2", now_ms=late) == Claim("1", "print")


async def test_a_lapsed_claim_leaves_nothing_behind(make_store: MakeStore) -> None:
    """Whoever takes a key over from an expired job does not get its fingerprint."""
    store = make_store()
    await store.create(a_job(key="k"), now_ms=NOW)
    later = NOW + KEPT_MS
    assert await store.claim("key:a", "k", "2", now_ms=later) == Claim("2", None)
    assert await store.claim("key:a", "k", "3", now_ms=later) == Claim("2", None)


@pytest.mark.parametrize("text", _HOSTILE, ids=range(len(_HOSTILE)))
async def test_any_text_is_a_name(make_store: MakeStore, text: str) -> None:
    """Ids, subjects and keys are bytes to the store: none leads elsewhere or fails."""
    store = make_store()
    job = replace(a_job(text, text), idempotency=IdempotencyKey(text, text))
    await store.claim(text, text, text, now_ms=NOW)
    await store.create(job, now_ms=NOW)
    assert await store.get(text, text, now_ms=NOW) == job
    assert await store.get(text + "x", text, now_ms=NOW) is None
    assert await store.get(text, text + "x", now_ms=NOW) is None
    assert await store.claim(text, text, "2", now_ms=NOW) == Claim(text, text)
    assert await store.claim(text, text + "x", "2", now_ms=NOW) == Claim("2", None)
    assert await store.known([text, text + "x"]) == {text}
    assert await store.unfinished(created_before_ms=NOW + 1) == (job,)
    assert await store.expire(now_ms=NOW + KEPT_MS) == (job,)


async def test_subject_and_key_do_not_run_into_each_other(make_store: MakeStore) -> None:
    """Where one ends and the other begins is part of the name."""
    store = make_store()
    await store.claim("key:a", "bc", "1", now_ms=NOW)
    assert await store.claim("key:ab", "c", "2", now_ms=NOW) == Claim("2", None)


@pytest.mark.parametrize("status", list(JobStatus))
async def test_a_job_comes_back_as_it_was(make_store: MakeStore, status: JobStatus) -> None:
    """Whatever has become of it."""
    store = make_store()
    running = a_job(key="k").started(NOW + 1)
    moves: dict[JobStatus, list[Job]] = {
        JobStatus.QUEUED: [running, running.handed_back()],
        JobStatus.RUNNING: [running, running.progressed(40)],
        JobStatus.SUCCEEDED: [running, running.succeeded(RESULT, NOW + 2)],
        JobStatus.FAILED: [
            running,
            running.failed(JobError(JobErrorCode.INVALID_IMAGE, "no"), NOW + 2),
        ],
        JobStatus.CANCELLED: [running, running.cancelled(NOW + 2)],
    }
    await store.create(a_job(key="k"), now_ms=NOW)
    for job in moves[status]:
        assert await store.update(job)
    kept = await store.get("key:a", "1", now_ms=NOW)
    assert kept == moves[status][-1]
    assert kept.status is status
