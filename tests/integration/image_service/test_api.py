"""Every row of the contract, over a real socket."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Mapping
from itertools import count
from typing import Any

import pytest
from aiohttp import ClientSession, FormData
from PIL import Image

from image_service.core.formats import ImageFormat
from image_service.settings import Address
from image_service.testing import encoded, identity, picture

pytestmark = pytest.mark.asyncio(loop_scope="module")

_UPSCALE = "/api/v1/images/upscale"
_NOISE = encoded(Image.effect_noise((64, 64), 60))
_SUBJECTS = count()
_MAKE = 0x010F  # the camera's, in EXIF
_PART = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n'

Json = Mapping[str, Any]


@pytest.fixture
def me() -> Mapping[str, str]:
    """The headers of a subject that no other test uses."""
    return identity(f"key:{next(_SUBJECTS)}")


def _form(content: bytes = _NOISE, **fields: str) -> FormData:
    form = FormData()
    form.add_field("file", io.BytesIO(content), filename="a.png", content_type="image/png")
    for name, value in fields.items():
        form.add_field(name, value)
    return form


async def _finished(client: ClientSession, me: Mapping[str, str]) -> str:
    """The path of a job that has succeeded."""
    headers = {**me, "Prefer": "wait=30"}
    async with client.post(_UPSCALE, data=_form(), headers=headers) as answer:
        assert answer.status == 200
        return answer.headers["Content-Location"].removesuffix("/result")


async def _error(
    client: ClientSession,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    data: FormData | bytes | AsyncIterator[bytes] | None = None,
) -> tuple[int, Json]:
    async with client.request(method, path, headers=headers, data=data) as answer:
        assert answer.content_type == "application/json"
        body = await answer.json()
        assert set(body) == {"error"}
        assert {"code", "message", "request_id"} <= set(body["error"])
        return answer.status, body["error"]


# --- Limits ---------------------------------------------------------------------------------------


async def test_limits_are_told(client: ClientSession, me: Mapping[str, str]) -> None:
    """The document holds what the sidecar said and what images are held to."""
    headers = {**me, "x-authz-limits": '"per-minute";q=10;r=9;w=60;t=60'}
    async with client.get("/api/v1/images/limits", headers=headers) as answer:
        assert answer.status == 200
        assert await answer.json() == {
            "tier": "free",
            "limits": [
                {
                    "name": "per-minute",
                    "limit": 10,
                    "window_seconds": 60,
                    "remaining": 9,
                    "reset_seconds": 60,
                }
            ],
            "max_file_bytes": 5_242_880,
            "max_body_bytes": 5_308_416,
            "image": {
                "min_side": 32,
                "max_side": 8192,
                "formats": ["image/jpeg", "image/png", "image/webp", "image/gif"],
            },
        }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/images/limits"),
        ("POST", _UPSCALE),
        ("GET", "/api/v1/jobs/1"),
        ("DELETE", "/api/v1/jobs/1"),
        ("GET", "/api/v1/jobs/1/result"),
    ],
)
async def test_who_did_not_pass_the_sidecar_is_refused(
    client: ClientSession, method: str, path: str
) -> None:
    """Without identity headers nothing of the API answers."""
    status, error = await _error(client, method, path)
    assert (status, error["code"]) == (401, "UNAUTHENTICATED")


# --- Upload ---------------------------------------------------------------------------------------


async def test_an_upload_becomes_a_job(client: ClientSession, me: Mapping[str, str]) -> None:
    """202, the job's document, and where to find it; then the job runs its course."""
    async with client.post(_UPSCALE, data=_form(), headers=me) as answer:
        assert answer.status == 202
        job = await answer.json()
        assert answer.headers["Location"] == job["links"]["self"] == f"/api/v1/jobs/{job['job_id']}"
        assert job["links"]["result"] == f"/api/v1/jobs/{job['job_id']}/result"
        assert job["status"] in {"queued", "running"}
        assert job["finished_at"] is None
    while job["status"] in {"queued", "running"}:
        await asyncio.sleep(0.01)
        async with client.get(job["links"]["self"], headers=me) as answer:
            job = await answer.json()
    assert (job["status"], job["progress"]) == ("succeeded", 100)
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    assert "error" not in job


async def test_who_waits_gets_the_image(client: ClientSession, me: Mapping[str, str]) -> None:
    """200 with the image itself, and what was done about the wish."""
    headers = {**me, "Prefer": "wait=30"}
    form = _form(scale="4", format="webp", quality="80")
    async with client.post(_UPSCALE, data=form, headers=headers) as answer:
        assert answer.status == 200
        assert answer.content_type == "image/webp"
        assert answer.headers["Preference-Applied"] == "wait=30"
        assert answer.headers["Content-Location"].endswith("/result")
        assert answer.headers["Cache-Control"] == "private"
        image = Image.open(io.BytesIO(await answer.read()))
    assert (image.format, image.size) == ("WEBP", (256, 256))


async def test_who_waits_for_nothing_gets_the_job(
    client: ClientSession, me: Mapping[str, str]
) -> None:
    """`wait=0` is over at once: 202, and no preference was applied."""
    large = encoded(Image.effect_noise((1200, 1200), 60))
    headers = {**me, "Prefer": "wait=0"}
    async with client.post(_UPSCALE, data=_form(large), headers=headers) as answer:
        assert answer.status == 202
        assert "Preference-Applied" not in answer.headers


async def test_declared_names_and_types_are_not_believed(
    client: ClientSession, me: Mapping[str, str]
) -> None:
    """A JPEG called PNG comes back as the JPEG it is."""
    content = encoded(picture(), ImageFormat.JPEG)
    headers = {**me, "Prefer": "wait=30"}
    async with client.post(_UPSCALE, data=_form(content), headers=headers) as answer:
        assert answer.content_type == "image/jpeg"


async def test_a_file_of_exactly_the_limit_is_taken(client: ClientSession) -> None:
    """The limit counts the file part, not the form around it."""
    headers = {**identity(max_file_bytes=len(_NOISE)), "Prefer": "wait=30"}
    async with client.post(_UPSCALE, data=_form(scale="2"), headers=headers) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("over", [1, 200_000])
async def test_one_byte_more_is_too_large(client: ClientSession, over: int) -> None:
    """413 with the tier and its limit, whether found while streaming or before."""
    limit = 10_000
    headers = identity(max_file_bytes=limit)
    form = _form(b"x" * (limit + over))
    status, error = await _error(client, "POST", _UPSCALE, data=form, headers=headers)
    assert (status, error["code"], error["message"]) == (413, "PAYLOAD_TOO_LARGE", "File too large")
    assert error["details"] == {"tier": "free", "max_file_bytes": limit}


async def test_many_large_fields_are_too_large(client: ClientSession) -> None:
    """The form around the file is bounded too, even when its length is not declared."""

    async def parts() -> AsyncIterator[bytes]:
        for number in range(10):
            yield _PART.replace(b"file", b"x%d" % number) + b"y" * 30_000 + b"\r\n"
        yield b"--x--\r\n"

    headers = {**identity(max_file_bytes=1_000), "Content-Type": "multipart/form-data; boundary=x"}
    status, error = await _error(client, "POST", _UPSCALE, data=parts(), headers=headers)
    assert (status, error["code"]) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"{}", "application/json"),
        (_NOISE, "image/png"),
        (b"a=1", "application/x-www-form-urlencoded"),
        (b"", "multipart/mixed; boundary=x"),
        (b"", ""),
    ],
)
async def test_only_forms_are_read(
    client: ClientSession, me: Mapping[str, str], data: bytes, content_type: str
) -> None:
    """415 for every other type of body."""
    headers = {**me, "Content-Type": content_type}
    status, error = await _error(client, "POST", _UPSCALE, data=data, headers=headers)
    assert (status, error["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    ("body", "boundary"),
    [
        (b"", "; boundary=x"),
        (b"", ""),
        (b"nothing like a form", "; boundary=x"),
        (_PART + b"abc", "; boundary=x"),
        (b"--x\r\nno colon here\r\n\r\nabc\r\n--x--\r\n", "; boundary=x"),
        (b"--x\r\n" + b"a: b\r\n" * 500 + b"\r\nabc\r\n--x--\r\n", "; boundary=x"),
        (b"--x\r\na: " + b"b" * 20_000 + b"\r\n\r\nabc\r\n--x--\r\n", "; boundary=x"),
        (_PART.replace(b"\r\n\r\n", b"\r\nContent-Length: -5\r\n\r\n") + b"a", "; boundary=x"),
        (b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n", "; boundary=x"),
        (_PART.replace(b"name=", b"n\xffme=") + b"a\r\n--x--\r\n", "; boundary=x"),
        (_PART.replace(b"form-data;", b"form\xce data") + b"a\r\n--x--\r\n", "; boundary=x"),
        ((_PART + b"a\r\n") * 40 + b"--x--\r\n", "; boundary=x"),
        (b"", "; boundary=" + "x" * 200),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # `serve` does the same, process-wide
async def test_a_broken_form_is_a_bad_request(
    client: ClientSession, me: Mapping[str, str], body: bytes, boundary: str
) -> None:
    """400 or, where a form can be made out at all, a list of what is wrong with it."""
    headers = {**me, "Content-Type": f"multipart/form-data{boundary}"}
    status, error = await _error(client, "POST", _UPSCALE, data=body, headers=headers)
    assert (status, error["code"]) in {(400, "BAD_REQUEST"), (422, "VALIDATION_ERROR")}


async def test_every_field_problem_is_named(client: ClientSession, me: Mapping[str, str]) -> None:
    """422 lists all of them at once, with field, message and type."""
    form = _form(scale="3", quality="0", colour="red", format="x" * 65)
    form.add_field("file", b"again", filename="b.png")
    form.add_field("scale", "2")
    status, error = await _error(client, "POST", _UPSCALE, data=form, headers=me)
    assert (status, error["message"]) == (422, "Request validation failed")
    assert {(problem["field"], problem["type"]) for problem in error["details"]["errors"]} == {
        ("scale", "value_error"),
        ("scale", "duplicate"),
        ("quality", "value_error"),
        ("colour", "unknown_field"),
        ("format", "too_long"),
        ("file", "duplicate"),
    }


async def test_the_file_is_required(client: ClientSession, me: Mapping[str, str]) -> None:
    """A form without it is answered by field, like any other gap."""
    form = FormData({"scale": "2"}, default_to_multipart=True)
    status, error = await _error(client, "POST", _UPSCALE, data=form, headers=me)
    assert status == 422
    assert error["details"] == {
        "errors": [{"field": "file", "message": "is required", "type": "missing"}]
    }


async def test_too_large_an_output_is_refused_before_a_job_exists(
    client: ClientSession, me: Mapping[str, str]
) -> None:
    """422 on `scale`, naming the largest that would do."""
    form = _form(encoded(Image.new("L", (5000, 40))), scale="4")
    status, error = await _error(client, "POST", _UPSCALE, data=form, headers=me)
    (problem,) = error["details"]["errors"]
    assert (status, problem["field"]) == (422, "scale")
    assert problem["message"].endswith("the largest scale allowed for this image is 2")


async def test_metadata_stays_where_it_is_asked_for(
    client: ClientSession, me: Mapping[str, str]
) -> None:
    """The wish travels with the job, from the form to the worker."""
    exif = Image.Exif()
    exif[_MAKE] = "planted"
    photo = encoded(picture(), ImageFormat.JPEG, exif=exif)
    kept = []
    for wish in ("keep", "strip"):
        headers = {**me, "Prefer": "wait=30"}
        data = _form(photo, metadata=wish)
        async with client.post(_UPSCALE, data=data, headers=headers) as answer:
            assert answer.status == 200
            with Image.open(io.BytesIO(await answer.read())) as result:
                kept.append(result.getexif().get(_MAKE))
    assert kept == ["planted", None]


# --- Jobs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("job_id", ["123", "0" * 32, "%2E%2E", "x" * 300, "%00", "%C3%A4"])
@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("DELETE", ""), ("GET", "/result")])
async def test_an_unknown_job_is_not_found(
    client: ClientSession, me: Mapping[str, str], job_id: str, method: str, suffix: str
) -> None:
    """Malformed or merely unknown, the answer is the same."""
    status, error = await _error(client, method, f"/api/v1/jobs/{job_id}{suffix}", headers=me)
    assert status == 404
    assert error["code"] in {"JOB_NOT_FOUND", "NOT_FOUND"}
    if job_id == "123":
        assert error["code"] == "JOB_NOT_FOUND"
        assert error["message"] == "Job not found: 123"
        assert error["details"] == {"job_id": "123"}


async def test_somebody_elses_job_is_not_found(
    client: ClientSession, me: Mapping[str, str]
) -> None:
    """Neither to look at, nor to fetch, nor to delete."""
    path = await _finished(client, me)
    other = identity("key:somebody-else")
    for method, suffix in (("GET", ""), ("GET", "/result"), ("DELETE", "")):
        status, error = await _error(client, method, path + suffix, headers=other)
        assert (status, error["code"]) == (404, "JOB_NOT_FOUND")
    async with client.get(path, headers=me) as answer:
        assert answer.status == 200


async def test_a_finished_job_is_forgotten_on_delete(
    client: ClientSession, me: Mapping[str, str]
) -> None:
    """204, and then there is neither job nor result."""
    path = await _finished(client, me)
    async with client.delete(path, headers=me) as answer:
        assert answer.status == 204
    for suffix in ("", "/result"):
        status, _ = await _error(client, "GET", path + suffix, headers=me)
        assert status == 404


async def test_a_running_job_is_cancelled_on_delete(
    client: ClientSession, me: Mapping[str, str]
) -> None:
    """204, and the job stays to say so; its result will never come."""
    noise = Image.merge("RGBA", [Image.effect_noise((900, 900), 60)] * 4)
    form = _form(encoded(noise, compress_level=1), scale="4", format="webp")
    async with client.post(_UPSCALE, data=form, headers=me) as answer:
        path = answer.headers["Location"]
    status, error = await _error(client, "GET", path + "/result", headers=me)
    assert (status, error["code"]) == (409, "JOB_NOT_READY")
    async with client.delete(path, headers=me) as answer:
        assert answer.status == 204
    async with client.get(path, headers=me) as answer:
        assert (await answer.json())["status"] == "cancelled"
    status, error = await _error(client, "GET", path + "/result", headers=me)
    assert (status, error["code"]) == (409, "JOB_FAILED")


# --- Results --------------------------------------------------------------------------------------


async def test_head_tells_what_get_would(client: ClientSession, me: Mapping[str, str]) -> None:
    """The same headers, no body; ranges are defined for GET alone."""
    path = await _finished(client, me) + "/result"
    async with client.get(path, headers=me) as got, client.head(path, headers=me) as head:
        assert (got.status, head.status) == (200, 200)
        assert len(await got.read()) == int(head.headers["Content-Length"])
        for name in ("Content-Type", "ETag", "Cache-Control", "Accept-Ranges"):
            assert head.headers[name] == got.headers[name]
        assert got.headers["Cache-Control"] == "private"
    async with client.head(path, headers={**me, "Range": "bytes=0-1"}) as head:
        assert (head.status, "Content-Range" in head.headers) == (200, False)


async def test_what_the_client_has_is_not_sent_again(
    client: ClientSession, me: Mapping[str, str]
) -> None:
    """304 for the tag it names."""
    path = await _finished(client, me) + "/result"
    async with client.head(path, headers=me) as head:
        etag = head.headers["ETag"]
    async with client.get(path, headers={**me, "If-None-Match": f'"x", W/{etag}'}) as answer:
        assert answer.status == 304
        assert answer.headers["ETag"] == etag
        assert await answer.read() == b""
    async with client.get(path, headers={**me, "If-None-Match": '"x"'}) as answer:
        assert answer.status == 200


async def test_a_part_can_be_fetched(client: ClientSession, me: Mapping[str, str]) -> None:
    """206 with exactly that part, unless the result has changed since."""
    path = await _finished(client, me) + "/result"
    async with client.get(path, headers=me) as answer:
        whole, etag = await answer.read(), answer.headers["ETag"]
    headers = {**me, "Range": "bytes=10-19"}
    async with client.get(path, headers={**headers, "If-Range": etag}) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes 10-19/{len(whole)}"
        assert await answer.read() == whole[10:20]
    async with client.get(path, headers={**headers, "If-Range": '"x"'}) as answer:
        assert answer.status == 200
        assert await answer.read() == whole


async def test_a_part_beyond_the_end_is_not_satisfiable(
    client: ClientSession, me: Mapping[str, str]
) -> None:
    """416 says how long the result is."""
    path = await _finished(client, me) + "/result"
    async with client.head(path, headers=me) as head:
        size = head.headers["Content-Length"]
    async with client.get(path, headers={**me, "Range": f"bytes={size}-"}) as answer:
        assert answer.status == 416
        assert answer.headers["Content-Range"] == f"bytes */{size}"


# --- Idempotency ----------------------------------------------------------------------------------


async def test_the_same_request_finds_the_same_job(
    client: ClientSession, me: Mapping[str, str]
) -> None:
    """Sent twice under one key, worked once; a waiting repeat gets the image."""
    headers = {**me, "Idempotency-Key": "k1"}
    async with client.post(_UPSCALE, data=_form(), headers=headers) as first:
        location = first.headers["Location"]
    async with client.post(_UPSCALE, data=_form(), headers=headers) as second:
        assert (second.status, second.headers["Location"]) == (202, location)
    async with client.post(
        _UPSCALE, data=_form(), headers={**headers, "Prefer": "wait=30"}
    ) as third:
        assert third.status == 200
        assert third.headers["Content-Location"] == f"{location}/result"


@pytest.mark.parametrize(
    ("content", "fields"), [(_NOISE, {"scale": "4"}), (encoded(picture()), {})]
)
async def test_another_request_under_the_key_is_refused(
    client: ClientSession, me: Mapping[str, str], content: bytes, fields: Mapping[str, str]
) -> None:
    """422: other fields or another file are another request."""
    headers = {**me, "Idempotency-Key": "k1"}
    async with client.post(_UPSCALE, data=_form(), headers=headers) as first:
        assert first.status == 202
    form = _form(content, **fields)
    status, error = await _error(client, "POST", _UPSCALE, data=form, headers=headers)
    assert status == 422
    assert error["details"]["errors"][0]["field"] == "Idempotency-Key"


async def test_a_key_is_ones_own(client: ClientSession, me: Mapping[str, str]) -> None:
    """Another subject's same key is another key."""
    locations = set()
    for subject in (me, identity("key:somebody")):
        headers = {**subject, "Idempotency-Key": "shared"}
        async with client.post(_UPSCALE, data=_form(), headers=headers) as answer:
            locations.add(answer.headers["Location"])
    assert len(locations) == 2


async def test_a_request_that_came_to_nothing_frees_its_key(
    client: ClientSession, me: Mapping[str, str]
) -> None:
    """A mended form may be sent under the same key."""
    headers = {**me, "Idempotency-Key": "k1"}
    status, _ = await _error(client, "POST", _UPSCALE, data=_form(scale="3"), headers=headers)
    assert status == 422
    async with client.post(_UPSCALE, data=_form(scale="2"), headers=headers) as answer:
        assert answer.status == 202


async def test_a_request_still_arriving_holds_its_key(
    client: ClientSession, me: Mapping[str, str], address: Address
) -> None:
    """409 for the second until the first is there; giving up frees the key."""
    headers = {**me, "Idempotency-Key": "k1"}
    reader, writer = await asyncio.open_connection(address.host, address.port)
    lines = [f"POST {_UPSCALE} HTTP/1.1", "Host: x", "Content-Length: 5000"]
    lines += ["Content-Type: multipart/form-data; boundary=x"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + _PART)
    await writer.drain()
    status = 202
    while status != 409:
        async with client.post(_UPSCALE, data=_form(), headers=headers) as answer:
            status = answer.status
            assert status in {202, 409}
            if status == 202:
                async with client.delete(answer.headers["Location"], headers=me):
                    continue
            assert (await answer.json())["error"]["code"] == "CONFLICT"
            assert answer.headers["Retry-After"] == "1"
    writer.close()
    await writer.wait_closed()
    assert reader is not None
    while status != 202:
        async with client.post(_UPSCALE, data=_form(), headers=headers) as answer:
            status = answer.status


@pytest.mark.parametrize("key", ["", "with space", "x" * 256])
async def test_a_key_that_is_none_is_a_bad_request(
    client: ClientSession, me: Mapping[str, str], key: str
) -> None:
    """Silently ignoring it would do the work twice."""
    headers = {**me, "Idempotency-Key": key}
    status, error = await _error(client, "POST", _UPSCALE, data=_form(), headers=headers)
    assert (status, error["code"]) == (400, "BAD_REQUEST")


# --- Errors of the framework ----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/nope", "/api/v1/images", "/docs/../x", "/docs/other.js"])
async def test_other_paths_are_not_found(client: ClientSession, path: str) -> None:
    """404 in the one form."""
    status, error = await _error(client, "GET", path)
    assert (status, error["code"], error["message"]) == (404, "NOT_FOUND", "Not found.")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", _UPSCALE, "POST"),
        ("POST", "/api/v1/images/limits", "GET"),
        ("PUT", "/api/v1/jobs/1", "DELETE,GET"),
        ("POST", "/api/v1/jobs/1/result", "GET,HEAD"),
        ("DELETE", "/healthz", "GET"),
    ],
)
async def test_other_methods_are_told_the_right_ones(
    client: ClientSession, method: str, path: str, allow: str
) -> None:
    """405 in the one form, with `Allow`."""
    async with client.request(method, path) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, allow)
        assert (await answer.json())["error"]["code"] == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize(
    "garbage",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_bytes_that_are_not_http_get_the_one_form_too(
    address: Address, garbage: bytes
) -> None:
    """400, JSON, and the end of the connection; no word about libraries in it."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(garbage)
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.split(" ")[1] == "400"
    assert '"code": "BAD_REQUEST"' in body
    assert "aiohttp" not in body


@pytest.mark.parametrize("expect", ["teapot", "100-continue"])
async def test_expectations_are_met_or_passed_over(
    client: ClientSession, me: Mapping[str, str], expect: str
) -> None:
    """`100-continue` is served; anything else is passed over, as RFC 9110 allows."""
    headers = {**me, "Expect": expect}
    async with client.post(_UPSCALE, data=_form(), headers=headers) as answer:
        assert answer.status == 202


async def test_the_request_id_comes_back_in_errors(client: ClientSession) -> None:
    """The one Envoy gave, in the body and nowhere else: Envoy adds the header."""
    async with client.get("/nope", headers={"X-Request-ID": "abc-123"}) as answer:
        assert (await answer.json())["error"]["request_id"] == "abc-123"
        assert "X-Request-ID" not in answer.headers
        assert not [name for name in answer.headers if name.lower().startswith("x-ratelimit")]


# --- Health and documentation ---------------------------------------------------------------------


async def test_health_says_one_word(client: ClientSession) -> None:
    """No details: this is open to everyone."""
    for path, word in (("/healthz", "ok"), ("/readyz", "ready")):
        async with client.get(path) as answer:
            assert (answer.status, await answer.json()) == (200, {"status": word})


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/docs", "text/html"),
        ("/docs/docs.js", "text/javascript"),
        ("/docs/docs.css", "text/css"),
        ("/openapi.json", "application/json"),
    ],
)
async def test_the_documentation_is_served(
    client: ClientSession, path: str, content_type: str
) -> None:
    """To anyone, with its type, and locked down where a browser renders it."""
    async with client.get(path) as answer:
        assert (answer.status, answer.content_type) == (200, content_type)
        assert (await answer.text()).strip()
        if path.startswith("/docs"):
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; ")
            assert not {"unsafe-inline", "unsafe-eval", "*", "http", "data:"} & set(
                re.findall(r"unsafe-\w+|\*|https?|data:", policy)
            )
