"""Which clients may ask, by the names in their certificates.

An authority that signs every workload of a mesh makes no difference between a gateway and any
other pod. Whoever may ask learns which keys are good, and can use up anybody's limits.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any, Final, TypeAlias, cast

import grpc
import structlog

from authz_service.clock import Clock

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Found: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Answer: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
Stream: TypeAlias = Callable[[Any, Context], AsyncIterator[Any]]

_LOCAL: Final = "unix:"
_QUIET_MS: Final = 60_000
_NAMES_TOLD: Final = 5

_log = structlog.get_logger(__name__)


class ClientNames(grpc.aio.ServerInterceptor):
    """Lets those pass that come through a Unix socket, or have one of the names.

    All others get PERMISSION_DENIED, whatever they ask; `refused` is told of each, and the log
    names one a minute.
    """

    def __init__(
        self, allowed: Collection[str], *, clock: Clock, refused: Callable[[], None]
    ) -> None:
        self._allowed = frozenset(allowed)
        self._clock = clock
        self._refused = refused
        self._quiet_until_ms: int | None = None

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Found]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Found:
        """The handler of a call, behind the question who asks."""
        handler = await continuation(handler_call_details)
        if handler is None:  # a method that nobody has
            return None
        if handler.response_streaming:
            return self._guarded_stream(handler)
        return self._guarded(handler)

    def _guarded(self, handler: Handler) -> Handler:
        inner = cast("Answer", handler.unary_unary)

        async def answer(request: object, context: Context) -> object:
            await self._admit(context)
            return await inner(request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer, handler.request_deserializer, handler.response_serializer
        )

    def _guarded_stream(self, handler: Handler) -> Handler:
        inner = cast("Stream", handler.unary_stream)

        async def answer(request: object, context: Context) -> AsyncIterator[object]:
            await self._admit(context)
            async for response in inner(request, context):
                yield response

        return grpc.unary_stream_rpc_method_handler(
            answer, handler.request_deserializer, handler.response_serializer
        )

    async def _admit(self, context: Context) -> None:
        if context.peer().startswith(_LOCAL):
            return
        names = _names(context)
        if self._allowed.isdisjoint(names):
            self._tell(names)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "this client may not ask")

    def _tell(self, names: frozenset[str]) -> None:
        self._refused()
        now_ms = self._clock.monotonic_ms()
        if self._quiet_until_ms is not None and now_ms < self._quiet_until_ms:
            return
        self._quiet_until_ms = now_ms + _QUIET_MS
        _log.warning("a client asked that may not", names=sorted(names)[:_NAMES_TOLD])


def _names(context: Context) -> frozenset[str]:
    """The URIs and DNS names of the client's certificate, as gRPC has verified it."""
    told = context.auth_context()
    names = (*told.get("peer_uri", ()), *told.get("peer_dns", ()))
    return frozenset(name.decode("utf-8", "replace") for name in names)
