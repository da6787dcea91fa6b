"""Any job comes back as it was."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from image_service.core.formats import ImageFormat
from image_service.core.spec import TransformSpec
from image_service.errors import StoreError
from image_service.jobs import IdempotencyKey, Job, JobError, JobErrorCode, JobStatus, Result
from image_service.storage.redis.codec import decode, encode
from tests.property.image_service.test_any_trace import TRACES

_COUNTS = st.integers(min_value=0, max_value=2**53)
_TEXTS = st.text(st.characters(exclude_categories=()))  # lone surrogates too
_ERRORS = st.builds(JobError, st.sampled_from(JobErrorCode), _TEXTS)
_RESULTS = st.builds(Result, _TEXTS, _COUNTS, _TEXTS, _TEXTS)


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """Jobs in every status, whatever they hold."""
    job = Job(
        job_id=draw(_TEXTS),
        subject=draw(_TEXTS),
        spec=TransformSpec(
            draw(_COUNTS),
            draw(st.sampled_from(ImageFormat)),
            draw(_COUNTS),
            keep_metadata=draw(st.booleans()),
        ),
        request_id=draw(_TEXTS),
        created_ms=draw(_COUNTS),
        status=draw(st.sampled_from(JobStatus)),
        progress=draw(_COUNTS),
        attempts=draw(_COUNTS),
        started_ms=draw(st.none() | _COUNTS),
        finished_ms=draw(st.none() | _COUNTS),
        idempotency=draw(st.none() | st.builds(IdempotencyKey, _TEXTS, _TEXTS)),
        trace=draw(st.none() | TRACES),
        revision=draw(_COUNTS),
    )
    if job.status is JobStatus.SUCCEEDED:
        return replace(job, result=draw(_RESULTS))
    return replace(job, error=draw(_ERRORS)) if job.status is JobStatus.FAILED else job


@given(jobs())
def test_any_job_comes_back_as_it_was(job: Job) -> None:
    """Whatever texts and numbers are in it, and in the same bytes every time."""
    document = encode(job)
    assert decode(document) == job
    assert encode(decode(document)) == document


@given(st.binary() | jobs().map(encode), st.data())
def test_any_bytes_are_a_job_or_an_error(document: bytes, data: st.DataObject) -> None:
    """Nothing else is raised, wherever a document is broken."""
    at = data.draw(st.integers(0, len(document)))
    broken = document[:at] + data.draw(st.binary(max_size=3)) + document[at + 1 :]
    try:
        job = decode(broken)
    except StoreError:
        return
    assert isinstance(job, Job)
