import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from image_service.core.formats import ImageFormat
from image_service.core.spec import TransformSpec
from image_service.core.trace import TraceContext
from image_service.errors import StoreError
from image_service.jobs import IdempotencyKey, Job, JobError, JobErrorCode, Result
from image_service.storage.redis.codec import decode, encode

_JOB = Job(
    job_id="1",
    subject="key:a",
    spec=TransformSpec(2, ImageFormat.PNG, 90),
    request_id="r",
    created_ms=1_000,
    idempotency=IdempotencyKey("k", "print"),
)
_SUCCEEDED = _JOB.started(2_000).succeeded(Result("there", 10, "image/png", '"e"'), 3_000)
_FAILED = _JOB.failed(JobError(JobErrorCode.INVALID_IMAGE, "bad"), 3_000)


def _fields(job: Job) -> dict[str, object]:
    fields: dict[str, object] = json.loads(encode(job))
    return fields


def _text(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields).encode()


def test_the_stored_form_does_not_change_unnoticed() -> None:
    """Jobs outlive the program: the next one has to read what this one wrote."""
    assert encode(_SUCCEEDED) == (
        b'{"job_id":"1","subject":"key:a",'
        b'"spec":{"scale":2,"format":"png","quality":90,"keep_metadata":false},'
        b'"request_id":"r","created_ms":1000,"status":"succeeded","progress":100,"attempts":1,'
        b'"started_ms":2000,"finished_ms":3000,"error":null,'
        b'"result":{"location":"there","size":10,"media_type":"image/png","etag":"\\"e\\""},'
        b'"idempotency":{"value":"k","fingerprint":"print"},"revision":2}'
    )


@pytest.mark.parametrize("name", list(_fields(_SUCCEEDED)))
@pytest.mark.parametrize("value", [True, 1.5, [], -1, {}, [None], "\u00b2", "nonsense"], ids=str)
def test_no_field_takes_what_does_not_belong_there(name: str, value: object) -> None:
    """Of any other type, negative, or none of the known words."""
    texts = {"job_id", "subject", "request_id"}
    if name in texts and isinstance(value, str):
        assert getattr(decode(_text(_fields(_SUCCEEDED) | {name: value})), name) == value
        return
    with pytest.raises(StoreError):
        decode(_text(_fields(_SUCCEEDED) | {name: value}))


@pytest.mark.parametrize("name", list(_fields(_SUCCEEDED)))
def test_no_field_may_be_missing(name: str) -> None:
    """What is left out is not made up."""
    fields = _fields(_SUCCEEDED)
    del fields[name]
    with pytest.raises(StoreError):
        decode(_text(fields))


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"spec": {"scale": 2, "format": "png"}},
        {"spec": {"scale": 2, "format": "tiff", "quality": 90, "keep_metadata": False}},
        {"spec": {"scale": "2", "format": "png", "quality": 90, "keep_metadata": False}},
        {"spec": {"scale": 2, "format": "png", "quality": 90, "keep_metadata": 1}},
        {"result": {"location": "there"}},
        {"result": {"location": "there", "size": -1, "media_type": "image/png", "etag": "e"}},
        {"idempotency": {"value": "k", "fingerprint": None}},
        {"error": {"code": "OTHER", "message": "bad"}},
        {"result": None},
        {"error": {"code": "INVALID_IMAGE", "message": "bad"}},
        {"status": "running"},
        {"status": "failed", "result": None},
    ],
    ids=str,
)
def test_parts_have_to_make_sense_together(changes: dict[str, object]) -> None:
    """A success has a result and no error, a failure an error and no result; nothing is added."""
    with pytest.raises(StoreError):
        decode(_text(_fields(_SUCCEEDED) | changes))


@pytest.mark.parametrize(
    "text",
    [b"", b"null", b"[]", b"1", b"\xff", b'"\xc3\xa9"', b"[" * 100_000, b"9" * 10_000, b"NaN"],
    ids=range(9),
)
def test_what_is_no_document_is_an_error(text: bytes) -> None:
    """However deep or long it is."""
    with pytest.raises(StoreError):
        decode(text)


def test_an_error_does_not_quote_the_document() -> None:
    """Subjects and names of clients stay out of logs."""
    with pytest.raises(StoreError) as caught:
        decode(_text(_fields(_FAILED) | {"status": "canary"}))
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_trace_is_in_the_document_only_where_there_is_one() -> None:
    """Without it the document is the one that every version reads."""
    trace = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
    fields = _fields(replace(_JOB, trace=trace))
    assert fields.pop("trace") == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert fields == _fields(_JOB)


@pytest.mark.parametrize(
    "value",
    [None, 1, "", "nonsense", f"00-{'a' * 32}-{'0' * 16}-01", f"00-{'a' * 32}-{'b' * 16}-02"],
)
def test_a_trace_that_makes_no_sense_is_no_trace(value: object) -> None:
    """A document with one is none that was written here."""
    with pytest.raises(StoreError):
        decode(_text(_fields(_JOB) | {"trace": value}))
