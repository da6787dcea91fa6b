"""Every route of the image service, as a client behind Envoy sees it."""

import io
import re

import pytest
from PIL import Image

from tests.e2e.client import Client
from tests.e2e.conftest import encoded
from tests.e2e.stack import Stack

LIMITS = "/api/v1/images/limits"


def test_limits_tell_a_caller_its_tier_and_what_is_left(stack: Stack, client: Client) -> None:
    """The first call of a free key leaves 9 of 10 this minute and 499 of 500 today."""
    reply = client.get(LIMITS, [("X-API-Key", stack.fresh_key("free"))])

    assert reply.status == 200
    answer = reply.json()
    assert answer["tier"] == "free"
    assert [(limit["name"], limit["limit"], limit["remaining"]) for limit in answer["limits"]] == [
        ("per-minute", 10, 9),
        ("per-day", 500, 499),
    ]
    assert answer["max_file_bytes"] == 5 * 1024 * 1024
    assert answer["max_body_bytes"] == 5 * 1024 * 1024 + 64 * 1024
    assert answer["image"]["min_side"] == 32
    assert answer["image"]["max_side"] == 8192


@pytest.mark.parametrize(
    ("tier", "limits", "megabytes"),
    [("free", [10, 500], 5), ("pro", [60, 10_000], 25), ("enterprise", [300, 100_000], 100)],
)
def test_each_tier_has_its_own_limits(
    stack: Stack, client: Client, tier: str, limits: list[int], megabytes: int
) -> None:
    """The table of tiers, seen through Envoy."""
    answer = client.get(LIMITS, [("X-API-Key", stack.fresh_key(tier))]).json()

    assert [limit["limit"] for limit in answer["limits"]] == limits
    assert answer["max_file_bytes"] == megabytes * 1024 * 1024


def test_limits_answer_an_anonymous_caller(stack: Stack, client: Client) -> None:
    """Without a credential the tier is anonymous: 5 a minute, 100 a day, 2 MB."""
    answer = client.get(LIMITS, source=stack.fresh_address()).json()

    assert answer["tier"] == "anonymous"
    assert [limit["limit"] for limit in answer["limits"]] == [5, 100]
    assert answer["max_file_bytes"] == 2 * 1024 * 1024


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_upscale_returns_a_real_image_twice_as_large(
    stack: Stack, client: Client, image_format: str
) -> None:
    """Each accepted format comes back in itself, at twice the size."""
    reply = client.upload(
        stack.fresh_key(), encoded(image_format, (48, 40)), headers=[("Prefer", "wait=30")]
    )

    assert reply.status == 200, reply.body
    assert reply.header("preference-applied") == "wait=30"
    assert reply.header("content-type") == f"image/{image_format.lower()}"
    with Image.open(io.BytesIO(reply.body)) as image:
        assert image.size == (96, 80)
        assert image.format == image_format


def test_upscale_by_four(stack: Stack, client: Client, photo: bytes) -> None:
    """`scale=4` makes each side four times as long."""
    reply = client.upload(stack.fresh_key(), photo, headers=[("Prefer", "wait=30")], scale="4")

    with Image.open(io.BytesIO(reply.body)) as image:
        assert image.size == (192, 160)


def test_a_job_is_accepted_followed_fetched_and_deleted(
    stack: Stack, client: Client, photo: bytes
) -> None:
    """202 with a location, the job until it has succeeded, its result, 204, and then 404."""
    key = [("X-API-Key", stack.fresh_key())]
    accepted = client.upload(key[0][1], photo)

    assert accepted.status == 202
    location = accepted.header("location")
    assert re.fullmatch(r"/api/v1/jobs/[A-Za-z0-9_-]+", location)
    for _ in range(100):
        job = client.get(location, key).json()
        if job["status"] == "succeeded":
            break
    assert job["status"] == "succeeded"
    result = client.get(f"{location}/result", key)
    assert result.status == 200
    assert result.header("etag")
    assert client.send("HEAD", f"{location}/result", key).status == 200
    assert client.send("DELETE", location, key).status == 204
    gone = client.get(location, key)
    assert (gone.status, gone.code) == (404, "JOB_NOT_FOUND")


def test_a_job_belongs_to_its_subject(stack: Stack, client: Client, photo: bytes) -> None:
    """Another caller's job does not exist for me."""
    location = client.upload(stack.fresh_key(), photo).header("location")

    theirs = client.get(location, [("X-API-Key", stack.fresh_key())])

    assert (theirs.status, theirs.code) == (404, "JOB_NOT_FOUND")


def test_job_routes_take_nothing_from_the_tier(stack: Stack, client: Client, photo: bytes) -> None:
    """They share a limit of their own: 120 a minute."""
    key = stack.fresh_key("free")
    location = client.upload(key, photo).header("location")

    reply = client.get(location, [("X-API-Key", key)])

    assert reply.header("x-ratelimit-limit") == "120"
    assert reply.header("ratelimit-policy") == '"jobs";q=120;w=60'


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", "ok"), ("/readyz", "ready")], ids=["health", "readiness"]
)
def test_health_is_open_and_says_no_more_than_it_must(
    client: Client, path: str, status: str
) -> None:
    """No credential, no limit, no detail."""
    reply = client.get(path)

    assert reply.status == 200
    assert reply.json() == {"status": status}
    assert not reply.values("x-ratelimit-limit")


def test_the_contract_and_its_page_are_open(client: Client) -> None:
    """`/openapi.json` names every protected path, `/docs` is a page."""
    contract = client.get("/openapi.json").json()

    assert {LIMITS, "/api/v1/images/upscale", "/api/v1/jobs/{job_id}"} <= set(contract["paths"])
    assert client.get("/docs").header("content-type").startswith("text/html")


def test_an_unknown_path_is_404_in_the_error_form(client: Client) -> None:
    """Envoy's own answer has our form."""
    reply = client.get("/nowhere")

    assert (reply.status, reply.code) == (404, "NOT_FOUND")
    assert reply.json()["error"]["request_id"] == reply.header("x-request-id")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", LIMITS, {"GET"}),
        ("GET", "/api/v1/images/upscale", {"POST"}),
        ("PUT", "/api/v1/jobs/abc", {"GET", "DELETE"}),
        ("DELETE", "/api/v1/jobs/abc/result", {"GET", "HEAD"}),
        ("DELETE", "/healthz", {"GET"}),
    ],
)
def test_a_wrong_method_is_405_and_names_the_right_ones(
    client: Client, method: str, path: str, allowed: set[str]
) -> None:
    """405 with `Allow`, in the error form, before anybody is asked who is calling."""
    reply = client.send(method, path)

    assert (reply.status, reply.code) == (405, "METHOD_NOT_ALLOWED")
    assert set(reply.header("allow").split(", ")) == allowed
    assert not reply.values("x-ratelimit-limit")
