"""`authz_service explain`: how a request would be answered, and why, without counting it."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from authz_service.app import read_now
from authz_service.clock import SystemClock
from authz_service.commands.command_line import STORE_TIMEOUT_MS, Commands, checked_settings
from authz_service.commands.exit_codes import DONE, REFUSED
from authz_service.commands.words import aligned, limit_in_words, time_in_words
from authz_service.core.facts import Facts
from authz_service.core.limit_headers import Headers, seconds
from authz_service.core.respond import Pass, Refuse
from authz_service.core.verdict import Reason
from authz_service.errors import ConfigurationError, StoreError
from authz_service.explain.curl import read_curl
from authz_service.explain.explanation import Explainer, Explanation, ShownCredential
from authz_service.explain.peek import NotSeenError
from authz_service.explain.request import ClientRequest, client_request, read_header
from authz_service.observe.logging import configure_logging
from authz_service.storage.from_url import store_from_url
from authz_service.wire.captured_check import read_captured_check

_STDIN: Final = "-"
_HERE: Final = "127.0.0.1"
_INDENT: Final = 13
_EPILOG: Final = (
    "Reads the environment of the service, the key store and the keys of providers included;"
    " without REDIS_URL nothing has been counted yet."
    " Exit codes: 0 it would pass; 3 it would be refused; 2 configuration or call is wrong;"
    " 1 the counters cannot be seen."
)


def add(commands: Commands) -> None:
    """Put `explain` into the menu."""
    command = commands.add_parser(
        "explain",
        help="say how a request would be answered, and why",
        description="Decide about a request as the service would now, counting nothing.",
        epilog=_EPILOG,
    )
    form = command.add_mutually_exclusive_group(required=True)
    form.add_argument("--path", help="a request: its path, with the query")
    form.add_argument("--curl", metavar="COMMAND", help="a curl command line; - reads it")
    form.add_argument(
        "--check-request", metavar="FILE", help="a captured CheckRequest as JSON; - reads it"
    )
    command.add_argument("--method", help="its method (GET); with --path")
    command.add_argument(
        "-H", "--header", action="append", metavar="'NAME: VALUE'", help="a header; with --path"
    )
    command.add_argument(
        "--client-address",
        metavar="IP",
        help=f"whom Envoy takes the client for ({_HERE}); with --path and --curl",
    )
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    request = _request(parsed)
    configure_logging(debug=False, stream=sys.stderr)
    explanation = asyncio.run(_explain(request))
    if parsed.json:
        print(json.dumps(_as_json(explanation), indent=2))
    else:
        print("\n".join(_lines(explanation)))
    return DONE if explanation.passes else REFUSED


def _request(parsed: argparse.Namespace) -> ClientRequest | Facts:
    only_with_path = {"--method": parsed.method, "--header": parsed.header}
    only_with_client = {"--client-address": parsed.client_address}
    misplaced = {} if parsed.path is not None else only_with_path
    if parsed.check_request is not None:
        misplaced = {**misplaced, **only_with_client}
    problems = [f"{flag}: has no place here" for flag, value in misplaced.items() if value]
    if problems:
        raise ConfigurationError(problems)
    client_address = parsed.client_address or _HERE
    if parsed.check_request is not None:
        return _captured(parsed.check_request)
    if parsed.curl is not None:
        command = _text(_STDIN) if parsed.curl == _STDIN else parsed.curl
        return read_curl(command, client_address=client_address)
    return client_request(
        method=parsed.method or "GET",
        target=parsed.path,
        headers=tuple(map(read_header, parsed.header or ())),
        client_address=client_address,
    )


def _captured(file: str) -> Facts:
    try:
        return read_captured_check(_text(file))
    except ValueError as error:
        raise ConfigurationError([f"{file}: {error}"]) from None


def _text(file: str) -> str:
    try:
        found = sys.stdin.buffer.read() if file == _STDIN else Path(file).read_bytes()
        return found.decode()
    except OSError as error:
        raise ConfigurationError([f"{file}: cannot be read: {error.strerror}"]) from None
    except ValueError:  # no UTF-8, or a name that no file can have
        raise ConfigurationError([f"{file}: is no UTF-8 text"]) from None


async def _explain(request: ClientRequest | Facts) -> Explanation:
    environment = dict(os.environ)
    settings = checked_settings(environment)
    try:
        configuration = await read_now(settings, environment)
    except StoreError as error:
        raise NotSeenError(f"the keys cannot be seen: {error}") from error
    clock = SystemClock()
    store = store_from_url(
        settings.store_url.get_secret_value(),
        clock=clock,
        random=lambda: 0.5,  # one connection, tried once: there is nothing to spread
        timeout_ms=STORE_TIMEOUT_MS,
    )
    explainer = Explainer(
        policy=configuration.policy,
        credentials=configuration.credentials,
        store=store,
        clock=clock,
    )
    try:
        if isinstance(request, Facts):
            return await explainer.explain_check(request)
        return await explainer.explain(request)
    finally:
        await store.close()


def _lines(it: Explanation) -> Iterator[str]:
    yield _verdict(it)
    yield ""
    yield from _section("why", [it.why])
    request = f"{it.method} {it.path} from {it.client_address or 'an unknown address'}"
    yield from _section("request", [request, *it.changes])
    yield from _section("route", [it.route.name if it.route else "none"])
    if it.credential is not None:
        yield from _section("credential", [_credential(it.credential)])
    decided = "Envoy alone, the service is not asked" if it.reason is None else it.reason.value
    yield from _section("rule", [decided])
    if it.found:
        yield from _section("limits", _limits(it))
    if isinstance(it.answer, Pass):
        yield from _section("application", _headers(it.answer.upstream_headers))
        yield from _section("removed", [", ".join(it.answer.upstream_removed)])
        yield from _section("client", _headers(it.answer.response_headers))
    else:
        yield from _section("answer", [*_headers(it.answer.headers), it.answer.body])


def _verdict(it: Explanation) -> str:
    if isinstance(it.answer, Refuse):
        return f"refused: {it.answer.status} {_error(it.answer)['code']}"
    return "passes" if it.reason in {None, Reason.OK} else "passes, for the route is in shadow"


def _section(label: str, lines: Sequence[str]) -> Iterator[str]:
    for place, line in enumerate(line for line in lines if line):
        yield f"{label if place == 0 else '':<{_INDENT}}{line}"


def _headers(headers: Headers) -> list[str]:
    return [f"{name}: {value}" for name, value in headers]


def _credential(credential: ShownCredential) -> str:
    who = [credential.subject, f"tier {credential.tier}" if credential.tier else ""]
    named = f"{credential.kind} {credential.key_id}".rstrip()
    known = ", ".join(part for part in who if part)
    return f"{named} ({known})" if known else named


def _limits(it: Explanation) -> list[str]:
    rows = []
    for before, after in zip(it.found, it.left, strict=True):
        if before.retry_after_ms:
            end = f"has room in {time_in_words(seconds(before.retry_after_ms))}"
        else:
            end = f"resets in {time_in_words(seconds(after.reset_ms))}" if after.reset_ms else ""
        limit = before.charge.limit
        left = f"{before.remaining} left, {after.remaining} after"
        takes = f"takes {before.charge.cost}"
        rows.append((limit.name, limit_in_words(limit), takes, left, end))
    return aligned(rows)


def _error(answer: Refuse) -> dict[str, object]:
    error: dict[str, object] = json.loads(answer.body)["error"]
    return error


def _as_json(it: Explanation) -> dict[str, object]:
    credential = it.credential
    return {
        "passes": it.passes,
        "why": it.why,
        "decided_by": "envoy" if it.reason is None else "authz_service",
        "reason": it.reason,
        "request": {
            "method": it.method,
            "path": it.path,
            "client_address": it.client_address,
            "changes": it.changes,
        },
        "route": it.route.name if it.route else None,
        "shadow": it.route is not None and it.route.shadow,
        "credential": credential
        and {
            "kind": credential.kind,
            "key_id": credential.key_id,
            "subject": credential.subject,
            "tier": credential.tier,
        },
        "limits": [
            {
                "name": before.charge.limit.name,
                "limit": before.charge.limit.limit,
                "cost": before.charge.cost,
                "before": before.remaining,
                "after": after.remaining,
                "reset_seconds": seconds(after.reset_ms),
                "retry_after_seconds": seconds(before.retry_after_ms),
            }
            for before, after in zip(it.found, it.left, strict=True)
        ],
        "answer": _answer_as_json(it.answer),
    }


def _answer_as_json(answer: Pass | Refuse) -> dict[str, object]:
    if isinstance(answer, Refuse):
        return {
            "status": answer.status,
            "code": _error(answer)["code"],
            "headers": dict(answer.headers),
            "body": json.loads(answer.body),
        }
    return {
        "to_application": dict(answer.upstream_headers),
        "removed": answer.upstream_removed,
        "to_client": dict(answer.response_headers),
    }
