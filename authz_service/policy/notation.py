"""The little languages inside a policy: rates, quotas, sizes, durations, addresses, paths.

Each function reads one of them and raises ValueError with a sentence that says how to write it.
"""

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from authz_service.core.match import is_template
from authz_service.core.provider import normal_type
from authz_service.core.rules import EXACT_ADMISSIONS, Period

MAX_ADMISSIONS = 1_000_000_000
MAX_COST = 1_000
MAX_WINDOW_MS = 31 * 24 * 3_600_000
MAX_SIZE = 1 << 30
MAX_DURATION_MS = 3_600_000
MIN_SPAN_MS, MAX_SPAN_MS = 1_000, 31 * 24 * 3_600_000
MAX_LEEWAY_MS = 60_000
# Envoy refuses an expression of more than 100 steps (runtime key re2.max_program_size.error_level):
# RE2 takes 4 for itself, 1 for a character and 3 for a placeholder.
MAX_TEMPLATE_STEPS = 96
_PLACEHOLDER_STEPS = 3
_MAX_PORT = 65_535

_UNIT_MS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_SHORT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE_UNITS = {"B": 1, "KB": 1 << 10, "KiB": 1 << 10, "MB": 1 << 20, "MiB": 1 << 20}

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_SCOPE = re.compile(r"[A-Za-z0-9._:@/-]{1,128}")
_METRIC_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,30}")
_RATE_EACH = re.compile(r"([0-9]{1,10})/(second|minute|hour|day)")
_RATE_PER = re.compile(r"([0-9]{1,10}) per ([0-9]{1,6})(s|m|h|d)")
_NAME_OF_A_WINDOW = re.compile(
    r"per-(second|minute|hour|24h|day|week|month|[0-9]{1,6}[smhd])"  # of a rate or a quota
)
_QUOTA = re.compile(r"([0-9]{1,12})/(day|week|month)")
_SIZE = re.compile(r"([0-9]{1,9}) ?(B|KB|KiB|MB|MiB)")
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h)")
_SPAN = re.compile(r"([0-9]{1,9})(s|m|h|d)")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_ISSUER = re.compile(r"[!-~]{1,512}")
_HTTPS_URL = re.compile(r"https://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[!-~]*)?")
_MAX_URL = 2_048
_VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
_TOKEN_TYPE = re.compile(r"(application/)?[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}", re.IGNORECASE)
_CLAIM_NAME = re.compile(r"[!-~]{1,128}")
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+|\{[a-z][a-z0-9_]*\}")


def name(text: str) -> str:
    """A name that stands in headers, labels and keys."""
    if not _NAME.fullmatch(text):
        raise ValueError("is no name; write lower-case letters, digits and -, at most 63")
    return text


def scope(text: str) -> str:
    """What a credential is good for; no more than RFC 6749 section 3.3 allows, and readable."""
    if not _SCOPE.fullmatch(text):
        raise ValueError("is no scope; write letters, digits and . _ : @ / -, at most 128")
    return text


def metric_prefix(text: str) -> str:
    """The first part of a metric's name (Prometheus data model)."""
    if not _METRIC_PREFIX.fullmatch(text):
        raise ValueError("is no metric prefix; write lower-case letters, digits and _, at most 31")
    return text


def time_zone(text: str) -> str:
    """An IANA time zone, such as `Europe/Berlin`."""
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone; write UTC or an IANA name like Europe/Berlin") from None
    return text


def rate(text: str) -> tuple[str, int, int]:
    """`10/minute` or `5 per 10s`: the limit's name, its admissions, its window in milliseconds."""
    if each := _RATE_EACH.fullmatch(text):
        # A sliding day is not a calendar day, and both may stand side by side.
        name = "per-24h" if each[2] == "day" else f"per-{each[2]}"
        return _rate(name, int(each[1]), _UNIT_MS[each[2]])
    if per := _RATE_PER.fullmatch(text):
        return _rate(f"per-{per[2]}{per[3]}", int(per[1]), int(per[2]) * _SHORT_MS[per[3]])
    raise ValueError("is no rate; write 10/minute or 5 per 10s")


def is_name_of_a_window(text: str) -> bool:
    """Whether a rate or a quota could have this name, which `rate` and `quota` give by window."""
    return _NAME_OF_A_WINDOW.fullmatch(text) is not None


def exact_rate(text: str) -> tuple[str, int, int]:
    """A rate that keeps the moment of each admission."""
    name, limit, window_ms = rate(text)
    if limit > EXACT_ADMISSIONS:
        raise ValueError(f"must admit at most {EXACT_ADMISSIONS:,} in its window")
    return name, limit, window_ms


def _rate(name: str, limit: int, window_ms: int) -> tuple[str, int, int]:
    if not 1 <= limit <= MAX_ADMISSIONS:
        raise ValueError(f"must admit 1 to {MAX_ADMISSIONS:,} in its window; use a quota for more")
    if not 1 <= window_ms <= MAX_WINDOW_MS:
        raise ValueError("must have a window of 1 second to 31 days; use a quota for longer")
    return name, limit, window_ms


def quota(text: str) -> tuple[int, Period]:
    """`500/day`: the admissions of one calendar period, and the period."""
    found = _QUOTA.fullmatch(text)
    if not found:
        raise ValueError("is no quota; write 500/day, 500/week or 500/month")
    if int(found[1]) < 1:
        raise ValueError("must admit at least 1")
    return int(found[1]), Period(found[2])


def size(text: str) -> int:
    """`2MB` in bytes. 1 MB is 1,048,576 bytes, as it is for people who upload files."""
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError("is no size; write 64KiB or 5MB")
    bytes_ = int(found[1]) * _SIZE_UNITS[found[2]]
    if not 1 <= bytes_ <= MAX_SIZE:
        raise ValueError("must be 1B to 1024MB")
    return bytes_


def duration(text: str) -> int:
    """`60s` in milliseconds."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError("is no duration; write 250ms, 60s, 5m or 1h")
    milliseconds = int(found[1]) * _SHORT_MS[found[2]]
    if not 1 <= milliseconds <= MAX_DURATION_MS:
        raise ValueError("must be 1ms to 1h")
    return milliseconds


def span(text: str) -> int:
    """`24h` or `31d` in milliseconds: for what lasts longer than a request."""
    found = _SPAN.fullmatch(text)
    if not found:
        raise ValueError("is no duration; write 30s, 5m, 24h or 7d")
    milliseconds = int(found[1]) * _SHORT_MS[found[2]]
    if not MIN_SPAN_MS <= milliseconds <= MAX_SPAN_MS:
        raise ValueError("must be 1s to 31d")
    return milliseconds


def leeway(text: str) -> int:
    """`30s` in milliseconds: how far clocks may differ."""
    found = _SPAN.fullmatch(text)
    milliseconds = int(found[1]) * _SHORT_MS[found[2]] if found else None
    if milliseconds is None or milliseconds > MAX_LEEWAY_MS:
        raise ValueError("is no leeway; write 0s to 60s")
    return milliseconds


def issuer(text: str) -> str:
    """An issuer or an audience, exactly as tokens name it (RFC 7519 sections 4.1.1 and 4.1.3)."""
    if not _ISSUER.fullmatch(text):
        raise ValueError("must be 1 to 512 printable ASCII characters without space")
    return text


def https_url(text: str) -> str:
    """`https://issuer.example.com/jwks.json`."""
    found = _HTTPS_URL.fullmatch(text)
    if not found or len(text) > _MAX_URL or "#" in text or int((found[2] or ":1")[1:]) > _MAX_PORT:
        raise ValueError("is no URL; write https://HOST/PATH without user and fragment")
    return text


def variable_name(text: str) -> str:
    """The name of a variable of the environment."""
    if not _VARIABLE_NAME.fullmatch(text):
        raise ValueError("is no name of a variable; write upper-case letters, digits and _")
    return text


def token_type(text: str) -> str:
    """The `typ` of a token, as it is compared (RFC 7515 section 4.1.9)."""
    if not _TOKEN_TYPE.fullmatch(text):
        raise ValueError("is no type of tokens; write JWT or at+jwt")
    return normal_type(text)


def claim_name(text: str) -> str:
    """The name of a claim, which may be a URL."""
    if not _CLAIM_NAME.fullmatch(text):
        raise ValueError("must be 1 to 128 printable ASCII characters without space")
    return text


def file_name(text: str) -> str:
    """The name of a file."""
    if not text or "\0" in text:
        raise ValueError("is no file name")
    return text


def address(text: str) -> tuple[str, int]:
    """`127.0.0.1:8080`, `[::1]:8080` or `app:8080`: host and port."""
    found = _ADDRESS.fullmatch(text)
    if not found or not 1 <= int(found[2]) <= _MAX_PORT:
        raise ValueError("is no address; write HOST:PORT")
    return found[1].strip("[]"), int(found[2])


def origin(text: str) -> str:
    """`https://app.example.com`, exactly as a browser sends it (RFC 6454 section 6.2)."""
    if not _ORIGIN.fullmatch(text):
        raise ValueError("is no origin; write https://app.example.com without path or wildcard")
    return text


def path(text: str) -> str:
    """`/jobs/{job_id}`: an exact path, or a template whose placeholders are whole segments."""
    root, *segments = text.split("/")
    if root or not segments or not (text == "/" or all(map(_is_segment, segments))):
        raise ValueError("is no path; write /jobs or /jobs/{job_id}, without query, // or ..")
    if is_template(text) and sum(map(_steps, segments)) > MAX_TEMPLATE_STEPS:
        raise ValueError(
            f"is too long for Envoy; with placeholders, which count {_PLACEHOLDER_STEPS} each,"
            f" write at most {MAX_TEMPLATE_STEPS} characters"
        )
    return text


def _steps(segment: str) -> int:
    return 1 + (_PLACEHOLDER_STEPS if is_template(segment) else len(segment))


def _is_segment(text: str) -> bool:
    # Envoy resolves dot segments before it matches, so a path with one would never match.
    return text not in {".", ".."} and _SEGMENT.fullmatch(text) is not None
