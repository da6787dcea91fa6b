"""A CheckRequest that somebody captured as JSON."""

from google.protobuf import json_format

from authz_service.core.facts import Facts
from authz_service.wire.check_request import decode_check_request
from authz_service.wire.pb.ext_authz_pb2 import CheckRequest


def read_captured_check(text: str) -> Facts:
    """The facts of a `CheckRequest` in protobuf's JSON form.

    Raises:
        ValueError: it is none. The message does not quote it: it may hold a credential.
    """
    request = CheckRequest()
    try:
        # Ours has those of Envoy's fields that we look at.
        json_format.Parse(text, request, ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, RecursionError):
        raise ValueError("is no CheckRequest in protobuf's JSON form") from None
    if not request.attributes.request.HasField("http"):
        raise ValueError("has no attributes.request.http")
    return decode_check_request(request)
