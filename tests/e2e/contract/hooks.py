"""What schemathesis cannot know: pictures, and what a key means. It imports this at its start."""

import io
from itertools import count
from typing import Any, Final

import schemathesis
from hypothesis import strategies
from PIL import Image
from schemathesis import Case, HookContext
from schemathesis.transport.serialization import Binary

_FILE_TYPES: Final = ("image/jpeg", "image/png", "image/webp", "image/gif")
_NUMBERS: Final = count()
_ROOM_IN_A_KEY: Final = 240


def _picture(image_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((48, 40)).save(buffer, image_format)
    return buffer.getvalue()


# A quality is refused where the result is a PNG or a GIF, and without a format the result is what
# the file is: no schema can say that. So the file is one that takes a quality, whatever the type
# it is declared to be, which nobody believes.
_PICTURES: Final = (_picture("JPEG"), _picture("WEBP"))

for name in _FILE_TYPES:
    schemathesis.openapi.media_type(name, strategies.sampled_from(_PICTURES))


@schemathesis.hook
def filter_case(_: HookContext, case: Case[Any]) -> bool:
    """Leave QUERY out: Envoy's HTTP/1.1 reader does not know it, and says 400 instead of 405."""
    return case.method != "QUERY"


@schemathesis.hook
def before_call(_: HookContext, case: Case[Any], __: object) -> None:
    """See that a request is refused for what is wrong with it, and for nothing else."""
    # One key means one request: each gets its own, as good or as bad as it was.
    key = case.headers.get("Idempotency-Key") if case.headers else None
    if isinstance(key, str) and 0 < len(key) < _ROOM_IN_A_KEY:
        case.headers["Idempotency-Key"] = f"{key}-{next(_NUMBERS)}"
    # Beside a wrong field the file is made of arbitrary bytes, which would be refused for itself.
    if isinstance(case.body, dict) and isinstance(case.body.get("file"), Binary):
        case.body["file"] = Binary(_PICTURES[0])
