"""One decision as the fields of a log line. Nothing that a client could log in with is among them.

What Envoy's access line has too goes by the same name there; `decision_id` joins the two.
"""

from collections.abc import Mapping
from string import punctuation
from typing import Final
from urllib.parse import quote
from zlib import crc32

from authz_service.core.decision import kind_of
from authz_service.core.facts import Facts
from authz_service.core.limit_headers import seconds
from authz_service.core.meter import Reading
from authz_service.core.respond import Outcome, Refuse
from authz_service.core.trace_context import trace_id

# Several processes write to one stream: a line of up to 4 KiB (PIPE_BUF) is not torn apart.
_LONGEST_METHOD: Final = 32
_LONGEST_ID: Final = 128
_LONGEST_PATH: Final = 1_024
_PLAIN: Final = punctuation.replace('"', "").replace("\\", "")  # JSON would make more of them
_HASHES: Final = 1 << 32


def is_sampled(decision_id: str, share: float) -> bool:
    """Whether a decision is among the `share` (0 to 1) of them that is written.

    The id decides, so the decisions of a smaller share are all among those of a larger one.
    """
    return crc32(decision_id.encode()) < share * _HASHES


def decision_line(
    facts: Facts, outcome: Outcome, *, duration_s: float, share: float
) -> Mapping[str, object]:
    """The fields, those without a value left out.

    `share` is the part of such decisions that is written; below 1 the line says so, and stands for
    `1 / share` of them.
    """
    told = outcome.metadata
    shadow_reason = told.get("shadow_reason", "")
    fields: Mapping[str, object] = {
        "decision_id": told["decision_id"],
        "request_id": facts.request_id[:_LONGEST_ID],
        "trace_id": trace_id(facts),
        "route": told.get("route"),
        "decision": kind_of(told["reason"]).value,
        "reason": told["reason"],
        "shadow_decision": kind_of(shadow_reason).value if shadow_reason else None,
        "shadow_reason": shadow_reason,
        "tier": told.get("tier"),
        "subject": told.get("subject"),
        "key_id": told.get("key_id"),
        "auth_method": told.get("method"),
        "method": facts.method[:_LONGEST_METHOD],
        "path": _path(facts.path),
        "status_code": outcome.status if isinstance(outcome, Refuse) else None,
        "scope": told.get("scope"),
        "limits": [_limit(reading) for reading in outcome.readings],
        "duration_ms": round(duration_s * 1000, 1),
        "sample_rate": share if share < 1 else None,
    }
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def _path(path: str) -> str:
    """As long in the line as it is: other letters than ASCII's would have up to twelve each.

    An Envoy of ours has spelt them so (RFC 3986 section 2.1) before it asks; others need not.
    """
    return quote(path[:_LONGEST_PATH], safe=_PLAIN)[:_LONGEST_PATH]


def _limit(reading: Reading) -> Mapping[str, object]:
    limit = reading.charge.limit
    return {
        "name": limit.name,
        "limit": limit.limit,
        "remaining": reading.remaining,
        "reset_seconds": seconds(reading.reset_ms),
    }
