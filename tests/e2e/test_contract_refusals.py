"""Refusals that nobody provokes by good or bad data alone are as the contract says, too."""

import json
from collections.abc import Callable
from typing import Any

import jsonschema_rs
import pytest

from tests.e2e.client import Client, Reply
from tests.e2e.stack import ROOT, Stack

CONTRACT = json.loads((ROOT / "image_service" / "docs" / "openapi.json").read_text("utf-8"))
LIMITS = "/api/v1/images/limits"
UPSCALE = "/api/v1/images/upscale"
JOB = "/api/v1/jobs/{job_id}"
Refused = Callable[[Stack, Client], Reply]


def limits(key: str) -> Refused:
    """Ask for the limits with a key."""
    return lambda _, client: client.get(LIMITS, [("X-API-Key", key)])


def used_up(tier: str) -> Refused:
    """Ask for more than a tier allows."""

    def ask(stack: Stack, client: Client) -> Reply:
        headers = [("X-API-Key", stack.fresh_key(tier))]
        return [client.get(LIMITS, headers) for _ in range(3)][-1]

    return ask


def upload(size: int) -> Refused:
    """Send a file that is no picture, of so many bytes, where 64 KiB are allowed."""
    return lambda stack, client: client.upload(stack.fresh_key("brief"), b"x" * size)


def guessed(stack: Stack, client: Client) -> Reply:
    """Try more keys than an address may."""
    source = stack.fresh_address()
    tries = (
        client.get(LIMITS, [("X-API-Key", f"guess-number-{number}")], source=source)
        for number in range(200)  # each worker counts for itself
    )
    return next(reply for reply in tries if reply.status != 401)


@pytest.mark.parametrize(
    ("route", "told", "refused"),
    [
        ((LIMITS, "get"), (401, "UNAUTHENTICATED"), limits("no-such-key")),
        ((UPSCALE, "post"), (401, "UNAUTHENTICATED"), lambda _, it: it.send("POST", UPSCALE)),
        ((LIMITS, "get"), (429, "RATE_LIMIT_EXCEEDED"), used_up("brief")),
        ((LIMITS, "get"), (429, "QUOTA_EXCEEDED"), used_up("scarce")),
        ((LIMITS, "get"), (429, "RATE_LIMIT_EXCEEDED"), guessed),
        ((LIMITS, "get"), (405, "METHOD_NOT_ALLOWED"), lambda _, it: it.send("DELETE", LIMITS)),
        (
            (LIMITS, "get"),
            (431, "HEADERS_TOO_LARGE"),
            lambda _, it: it.get(LIMITS, [("A", "b" * 99_000)]),
        ),
        ((LIMITS, "get"), (400, "BAD_REQUEST"), lambda _, it: it.get(LIMITS, [("A_b", "c")])),
        ((UPSCALE, "post"), (413, "PAYLOAD_TOO_LARGE"), upload(200_000)),  # by Envoy
        ((UPSCALE, "post"), (413, "PAYLOAD_TOO_LARGE"), upload(65_537)),  # by the image service
        ((UPSCALE, "post"), (400, "INVALID_IMAGE"), upload(10)),
        ((JOB, "get"), (404, "NOT_FOUND"), lambda _, it: it.get("/api/v1/jobs/")),
        (
            (JOB, "get"),
            (404, "JOB_NOT_FOUND"),
            lambda stack, it: it.get("/api/v1/jobs/1", [("X-API-Key", stack.fresh_key())]),
        ),
    ],
)
def test_a_refusal_is_as_the_contract_says(
    stack: Stack, client: Client, route: tuple[str, str], told: tuple[int, str], refused: Refused
) -> None:
    """Its status is told of, its headers are there and well-formed, and so is its body."""
    reply = refused(stack, client)

    assert (reply.status, reply.code) == told
    path, method = route
    promised = resolved(CONTRACT["paths"][path][method]["responses"][str(reply.status)])
    validate(promised["content"]["application/json"]["schema"], reply.json())
    for name, reference in promised["headers"].items():
        header = resolved(reference)
        values = reply.values(name.lower())
        assert len(values) == 1 or (not values and not header["required"]), name
        for value in values:
            whole_number = header["schema"].get("type") == "integer"
            validate(header["schema"], int(value) if whole_number else value)


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    """What a reference leads to; anything else as it is."""
    if "$ref" not in value:
        return value
    _, _, kind, name = value["$ref"].split("/")
    found: dict[str, Any] = CONTRACT["components"][kind][name]
    return found


def validate(schema: dict[str, Any], value: object) -> None:
    """Raise where the value is not of the schema."""
    whole = schema | {"components": CONTRACT["components"]}
    jsonschema_rs.Draft202012Validator(whole).validate(value)
