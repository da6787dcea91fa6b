"""Any bytes are a request as plain values, or no message at all.

Run it with `python -m tests.fuzz.check_request FOLDER`.
"""

from google.protobuf.message import DecodeError

from authz_service.core.facts import Facts
from authz_service.wire.check_request import decode_check_request
from authz_service.wire.pb.ext_authz_pb2 import CheckRequest
from tests.fuzz.guided import fuzz


def _message() -> bytes:
    request = CheckRequest()
    request.attributes.context_extensions["route"] = "things"
    http = request.attributes.request.http
    http.id, http.method, http.path = "7", "GET", "/v1/things?a=1"
    http.headers["x-request-id"] = "r"
    http.header_map.headers.add(key="x-api-key", raw_value=b"test-key-12345")
    return request.SerializeToString()


SEEDS = (b"", _message())


def target(data: bytes) -> None:
    """The bytes of a CheckRequest."""
    try:
        request = CheckRequest.FromString(data)
    except DecodeError:
        return
    facts = decode_check_request(request)
    assert isinstance(facts, Facts)
    assert "?" not in facts.path


def main() -> None:
    """Fuzz, guided by coverage."""
    fuzz(target, SEEDS)


if __name__ == "__main__":
    main()
