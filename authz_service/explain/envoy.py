"""What Envoy does with a request before it asks: change it, answer it itself, or pass it on.

The rules are those of `envoyconf/listener.py` and `envoyconf/routes.py`, as far as they decide who
may pass; sizes and time limits are left out. A test holds them to a real Envoy.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote

from authz_service.core.facts import Facts
from authz_service.core.match import RouteMatcher, template_pattern
from authz_service.core.request_id import is_sane
from authz_service.core.respond import CREDENTIAL_HEADERS, Answer, Pass, Refuse
from authz_service.core.rules import Authentication, Policy, Route
from authz_service.envoyconf.errors import ERRORS
from authz_service.explain.request import ClientRequest

MADE_UP_ID: Final = "explain"
"""Stands where Envoy and the engine would make up an id."""

_OURS = ("x-authz-", "x-envoy-")
_REFUSED_ESCAPES = re.compile(r"%(?:2f|5c|00)", re.IGNORECASE)
_PLAIN_ESCAPES = re.compile(
    r"%(?:2[DE]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Asked:
    """The request as the authorizer is asked about it, and what Envoy changed."""

    facts: Facts
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotAsked:
    """What Envoy does of its own, and why."""

    answer: Answer
    why: str
    route: Route | None = None
    changes: tuple[str, ...] = ()


def arrive(request: ClientRequest, policy: Policy) -> Asked | NotAsked:
    """What becomes of a request at Envoy's public door."""
    refusal = _malformed(request)
    if refusal is not None:
        return _answered(400, refusal)
    path = _normalised(request.path)
    changes = tuple(_changes(request, path))
    facts = _facts(request, path)
    route = RouteMatcher(policy).of(facts.method, facts.path)
    if route is None:
        return _without_route(request, path, policy, changes)
    if route.authentication is Authentication.NONE:
        passed = Pass((), () if route.shadow else CREDENTIAL_HEADERS, (), {})
        return NotAsked(
            passed, "The route asks for no caller, so Envoy asks nobody.", route, changes
        )
    return Asked(replace(facts, route_hint=route.name), changes)


def _malformed(request: ClientRequest) -> str | None:
    if any("_" in name for name, _ in request.headers):
        return "A header has an underscore in its name, and Envoy refuses those."
    if _REFUSED_ESCAPES.search(request.path):
        return "The path has an encoded slash, backslash or NUL, and Envoy refuses those."
    return None


def _normalised(path: str) -> str:
    """The path as Envoy spells it: plain characters unescaped, no dot segment, slashes merged."""
    *segments, last = map(_segment, path.split("/")[1:])
    kept: list[str] = []
    for segment in (*segments, last):
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if last in {".", ".."}:
        kept.append("")
    resolved = "/" + "/".join(kept)
    if "//" not in resolved:
        return resolved
    merged = "/".join(segment for segment in kept if segment)
    return f"/{merged}/" if resolved.endswith("/") else f"/{merged}"


def _segment(sent: str) -> str:
    """One segment of the path. Envoy takes dots with parameters for dots, but not where escaped."""
    name, semicolon, _ = sent.partition(";")
    if semicolon and name in {".", ".."}:
        return name
    return _PLAIN_ESCAPES.sub(lambda escape: unquote(escape[0]), sent)


def _changes(request: ClientRequest, path: str) -> Iterator[str]:
    if path != request.path:
        yield f"the path becomes {path}"
    removed = sorted({name for name, _ in request.headers if name.startswith(_OURS)})
    if removed:
        yield f"removed, for a client may not send it: {', '.join(removed)}"
    if request.values("x-forwarded-for"):
        yield "X-Forwarded-For is not weighed here: the client address is taken as given"


def _facts(request: ClientRequest, path: str) -> Facts:
    (request_id,) = _joined(request.values("x-request-id")) or ("",)
    return Facts(
        method=request.method,
        path=path,
        query=request.query,
        route_hint="",  # named once it is found
        request_id=request_id if is_sane(request_id) else MADE_UP_ID,
        stream_id="",
        client_address=request.client_address,
        api_keys=_bytes(request.values("x-api-key")),
        authorizations=_bytes(_joined(request.values("authorization"))),
        traceparent="",  # a decision that is only explained is part of no trace
        cloud_trace="",
    )


def _joined(values: tuple[str, ...]) -> tuple[str, ...]:
    """Values of a header that Envoy knows by name: it keeps one, those that are empty left out."""
    return (",".join(filter(None, values)),) if values else ()


def _bytes(values: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(value.encode(errors="surrogateescape") for value in values)


def _without_route(
    request: ClientRequest, path: str, policy: Policy, changes: tuple[str, ...]
) -> NotAsked:
    if policy.cors_origins and _is_preflight(request):
        answer = Pass((), (), (), {})
        return NotAsked(answer, "A CORS preflight, which Envoy answers itself.", None, changes)
    methods = [
        method
        for route in policy.routes
        if any(re.fullmatch(template_pattern(pattern), path) for pattern in route.paths)
        for method in route.methods
    ]
    if not methods:
        return _answered(404, "No route of the policy has this path.", changes)
    allowed = ", ".join(dict.fromkeys(methods))
    why = f"Routes of the policy have this path, but only with {allowed}."
    return _answered(405, why, changes, ("allow", allowed))


def _is_preflight(request: ClientRequest) -> bool:
    said = (request.values("origin"), request.values("access-control-request-method"))
    return request.method == "OPTIONS" and all(any(values) for values in said)


def _answered(
    status: int, why: str, changes: tuple[str, ...] = (), *headers: tuple[str, str]
) -> NotAsked:
    code, message = ERRORS[status]
    error = {"code": code, "message": message, "request_id": MADE_UP_ID}
    body = json.dumps({"error": error}, separators=(",", ":"))
    content = ("content-type", "application/json")
    return NotAsked(Refuse(status, (content, *headers), body, {}), why, None, changes)
