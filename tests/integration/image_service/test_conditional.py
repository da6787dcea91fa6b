"""Results and their conditions, to the letter of RFC 9110, sections 13 and 14."""

from collections.abc import Mapping

import pytest
import pytest_asyncio
from aiohttp import ClientSession, FormData
from PIL import Image

from image_service.testing import encoded, identity

pytestmark = pytest.mark.asyncio(loop_scope="module")

_ME = identity("key:conditional")
_OTHER = '"0123456789abcdef0123456789abcdef"'
Lines = list[tuple[str, str]]


class _Result:
    """A finished result: where it is, its tag, its bytes."""

    def __init__(self, client: ClientSession, path: str, etag: str, whole: bytes) -> None:
        self._client = client
        self._path = path
        self.etag = etag
        self.whole = whole

    async def ask(self, lines: Lines, method: str = "GET") -> tuple[int, Mapping[str, str], bytes]:
        """One request with these headers; `ETAG` stands for the result's tag."""
        told = [(name, value.replace("ETAG", self.etag)) for name, value in lines]
        headers = [*_ME.items(), *told]
        async with self._client.request(method, self._path, headers=headers) as answer:
            return answer.status, answer.headers, await answer.read()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def result(client: ClientSession) -> _Result:
    """One result for all tests: none of them changes it."""
    form = FormData({"scale": "2"})
    form.add_field("file", encoded(Image.effect_noise((64, 64), 60)), filename="a.png")
    headers = {**_ME, "Prefer": "wait=30"}
    async with client.post("/api/v1/images/upscale", data=form, headers=headers) as answer:
        assert answer.status == 200
        path = answer.headers["Content-Location"]
        return _Result(client, path, answer.headers["ETag"], await answer.read())


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([("If-Match", "ETAG")], 200),
        ([("If-Match", f"{_OTHER}, ETAG")], 200),
        ([("If-Match", _OTHER), ("If-Match", "ETAG")], 200),
        ([("If-Match", "*")], 200),
        ([("If-Match", _OTHER)], 412),
        ([("If-Match", "W/ETAG")], 412),
        ([("If-None-Match", "ETAG")], 304),
        ([("If-None-Match", "W/ETAG")], 304),
        ([("If-None-Match", f"{_OTHER},ETAG")], 304),
        ([("If-None-Match", _OTHER), ("If-None-Match", "ETAG")], 304),
        ([("If-None-Match", "*")], 304),
        ([("If-None-Match", _OTHER)], 200),
        ([("If-None-Match", "")], 200),
        ([("If-Match", "ETAG"), ("If-None-Match", "ETAG")], 304),
        ([("If-Match", _OTHER), ("If-None-Match", "ETAG")], 412),
        ([("If-None-Match", "ETAG"), ("Range", "bytes=0-3")], 304),
        ([("If-Match", _OTHER), ("Range", "bytes=0-3")], 412),
        # There is no date to compare with: these are passed over.
        ([("If-Modified-Since", "Thu, 01 Jan 2099 00:00:00 GMT")], 200),
        ([("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:01 GMT")], 200),
    ],
)
async def test_preconditions_come_in_their_order(
    result: _Result, lines: Lines, status: int, method: str
) -> None:
    """`If-Match` by strong comparison, then `If-None-Match` by weak, on however many lines."""
    got, headers, body = await result.ask(lines, method)

    assert (got, headers["ETag"]) == (status, result.etag)
    if method == "HEAD" or status == 304:
        assert body == b""
    if status == 304:
        assert headers["Cache-Control"] == "private"
        assert "Content-Type" not in headers


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([("Range", "bytes=0-3")], 206),
        ([("Range", "bytes=0-3"), ("If-Range", "ETAG")], 206),
        ([("Range", "bytes=0-3"), ("If-Match", "ETAG")], 206),
        ([("Range", "bytes=0-3"), ("If-None-Match", _OTHER)], 206),
        ([("Range", "bytes=0-3"), ("If-Range", "W/ETAG")], 200),
        ([("Range", "bytes=0-3"), ("If-Range", _OTHER)], 200),
        ([("Range", "bytes=0-3"), ("If-Range", "Thu, 01 Jan 2099 00:00:00 GMT")], 200),
        ([("Range", "bytes=0-3,5-6")], 200),
        ([("Range", "bytes=0-3"), ("Range", "bytes=5-6")], 200),
        ([("Range", "pages=0-3")], 200),
        ([("Range", "bytes=3-0")], 200),
        ([("Range", "bytes=99999999-"), ("If-Range", _OTHER)], 200),
        ([("If-Range", _OTHER)], 200),
    ],
)
async def test_one_range_of_the_result_that_is_meant_is_a_part(
    result: _Result, lines: Lines, status: int
) -> None:
    """206 with the four bytes, or 200 with all of them, whichever the conditions say."""
    got, headers, body = await result.ask(lines)

    part = result.whole[:4] if status == 206 else result.whole
    assert (got, body) == (status, part)
    assert int(headers["Content-Length"]) == len(part)
    assert headers["ETag"] == result.etag
    assert ("Content-Range" in headers) is (status == 206)


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("bytes=5-", 5, None), ("bytes=-5", -5, None), ("bytes=2-2", 2, 3)],
)
async def test_an_open_range_ends_with_the_result(
    result: _Result, wanted: str, start: int, stop: int | None
) -> None:
    """From a byte on, or the last so many."""
    status, headers, body = await result.ask([("Range", wanted)])

    size = len(result.whole)
    assert (status, body) == (206, result.whole[start:stop])
    first = start % size
    assert headers["Content-Range"] == f"bytes {first}-{first + len(body) - 1}/{size}"


async def test_a_range_is_for_get_alone(result: _Result) -> None:
    """HEAD answers as if none had been asked for, be it one that cannot be."""
    for wanted in ("bytes=0-3", "bytes=99999999-"):
        status, headers, _ = await result.ask([("Range", wanted)], "HEAD")
        assert (status, int(headers["Content-Length"])) == (200, len(result.whole))


async def test_conditions_do_not_hide_what_is_missing(client: ClientSession) -> None:
    """A precondition counts only where the answer would have been a good one."""
    headers = {**_ME, "If-Match": '"x"', "If-None-Match": "*"}
    async with client.get("/api/v1/jobs/none/result", headers=headers) as answer:
        assert answer.status == 404


async def test_what_is_true_for_a_moment_is_not_kept(client: ClientSession) -> None:
    """Nobody may answer a question about a job, or about limits, from a cache."""
    form = FormData()
    form.add_field("file", encoded(Image.effect_noise((64, 64), 60)), filename="a.png")
    async with client.post("/api/v1/images/upscale", data=form, headers=_ME) as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (202, "no-store")
        job = answer.headers["Location"]
    for path in (job, "/api/v1/images/limits"):
        async with client.get(path, headers=_ME) as answer:
            assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
