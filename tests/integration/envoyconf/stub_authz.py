"""An authorizer that does as it is told: what it answers depends on the API key alone.

What it answers about limits over all callers depends on the name of the limit alone.

Its messages are those of an independent package, so it also proves what Envoy really sends.
"""

import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc

from authz_service.core.descriptors import DescriptorLimit, RateLimitResponse, Status, Unit
from authz_service.wire.ratelimit_response import encode_rate_limit_response

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the package's own, at import
    from envoy_data_plane.envoy.service.auth.v3 import CheckRequest, CheckResponse
    from envoy_data_plane.envoy.service.ratelimit.v3 import RateLimitRequest

OVER_TOTAL = DescriptorLimit(requests_per_unit=600, unit=Unit.MINUTE, name="over-total")
OVER = RateLimitResponse(
    over=True,
    statuses=(Status(over=True, limit=OVER_TOTAL, reset_ms=7_000),),
    retry_after_ms=7_000,
)
PASSED = RateLimitResponse(over=False, statuses=())
DENIAL = '{"error": {"code": "UNAUTHENTICATED", "message": "no \\" \\u00e9 </script>"}}'
SLOWER_THAN_ENVOY_WAITS = 2.0
_TRIES = 3
_SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse{status: SERVING}


def headers_of(check: CheckRequest) -> list[tuple[str, bytes]]:
    """Names and raw values of the headers that came with a check."""
    request = check.attributes and check.attributes.request
    http = request and request.http
    found = http and http.header_map
    return [(it.key, it.raw_value) for it in found.headers] if found else []


def request_id_of(check: CheckRequest) -> str:
    """The id by which a test finds its own check among all."""
    return dict(headers_of(check)).get("x-request-id", b"").decode()


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked about limits over all callers, and the metadata of the call."""

    request: RateLimitRequest
    metadata: Mapping[str, str | bytes]

    @property
    def entries(self) -> list[list[tuple[str, str]]]:
        """Descriptor by descriptor, its keys and values."""
        return [[(it.key, it.value) for it in one.entries] for one in self.request.descriptors]


class StubAuthz:
    """One server on one Unix socket, and all that it was asked."""

    def __init__(self, socket_path: str) -> None:
        self.checks: list[CheckRequest] = []
        self.questions: list[Question] = []
        self._server = grpc.server(ThreadPoolExecutor(8))
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "envoy.service.auth.v3.Authorization",
                    {"Check": grpc.unary_unary_rpc_method_handler(self._check)},
                ),
                grpc.method_handlers_generic_handler(
                    "envoy.service.ratelimit.v3.RateLimitService",
                    {"ShouldRateLimit": grpc.unary_unary_rpc_method_handler(self._limit)},
                ),
                grpc.method_handlers_generic_handler(
                    "grpc.health.v1.Health",
                    {"Check": grpc.unary_unary_rpc_method_handler(_healthy)},
                ),
            )
        )
        self._server.add_insecure_port(f"unix:{socket_path}")

    def start(self) -> None:
        """Serve from now on, in threads of its own."""
        self._server.start()

    def stop(self) -> None:
        """End at once, and wait until it has ended."""
        self._server.stop(None).wait()

    def asked_for(self, request_id: str) -> list[CheckRequest]:
        """The checks of one request."""
        return [check for check in self.checks if request_id_of(check) == request_id]

    def questions_of(self, request_id: str) -> list[Question]:
        """What was asked about limits over all callers for one request."""
        return [it for it in self.questions if it.metadata.get("x-request-id") == request_id]

    def _limit(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        metadata = dict(context.invocation_metadata())
        question = Question(RateLimitRequest.parse(message), metadata)
        self.questions.append(question)
        name = question.entries[-1][-1][1]
        if name == "broken-total":
            context.abort(grpc.StatusCode.UNKNOWN, "told to")
        if name == "dying-total" and len(self.questions_of(str(metadata["x-request-id"]))) < _TRIES:
            context.abort(grpc.StatusCode.UNAVAILABLE, "told to")
        if name == "late-total":
            time.sleep(SLOWER_THAN_ENVOY_WAITS)
        answer = OVER if name == "over-total" else PASSED
        request_id = str(metadata["x-request-id"])
        return encode_rate_limit_response(answer, request_id=request_id).SerializeToString()

    def _check(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        check = CheckRequest.parse(message)
        self.checks.append(check)
        key = dict(headers_of(check)).get("x-api-key", b"anonymous").decode()
        return _ANSWERS.get(key, _denied)(key, context)


def _healthy(_message: bytes, _context: grpc.ServicerContext) -> bytes:
    return _SERVING


def _allowed(tier: str, _context: grpc.ServicerContext) -> bytes:
    return _response(
        status={"code": 0},
        okResponse={
            "headers": _headers({"x-authz-subject": f"key:{tier}", "x-authz-tier": tier}),
            "responseHeadersToAdd": _headers({"x-ratelimit-limit": "10"}),
        },
        dynamicMetadata=_metadata(tier),
    )


def _denied(_key: str, _context: grpc.ServicerContext) -> bytes:
    return _response(
        status={"code": 16},
        deniedResponse={
            "status": {"code": 401},
            "headers": _headers({"www-authenticate": "ApiKey", "content-type": "application/json"}),
            "body": DENIAL,
        },
        dynamicMetadata=_metadata("free"),
    )


def _raises(_key: str, _context: grpc.ServicerContext) -> bytes:
    raise ValueError("told to")


def _late(key: str, context: grpc.ServicerContext) -> bytes:
    time.sleep(SLOWER_THAN_ENVOY_WAITS)
    return _allowed(key, context)


def _fails_on_purpose(_key: str, _context: grpc.ServicerContext) -> bytes:
    return _response(
        status={"code": 14},
        errorResponse={"status": {"code": 503}, "headers": _headers({"retry-after": "7"})},
    )


def _metadata(tier: str) -> Mapping[str, str]:
    return {
        "subject": f"key:{tier}",
        "tier": tier,
        "key_id": "k1",
        "method": "api_key",
        "route": "from-authz",
        "reason": "ok",
        "decision_id": "d1",
    }


def _headers(values: Mapping[str, str]) -> list[Mapping[str, object]]:
    return [
        {
            "header": {"key": name, "value": value},
            "appendAction": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
        for name, value in values.items()
    ]


def _response(**fields: object) -> bytes:
    return bytes(CheckResponse.from_dict(fields))


_ANSWERS: Mapping[str, Callable[[str, grpc.ServicerContext], bytes]] = {
    "anonymous": _allowed,
    "free": _allowed,
    "pro": _allowed,
    "enterprise": _allowed,
    "raise": _raises,
    "late": _late,
    "fail": _fails_on_purpose,
}
