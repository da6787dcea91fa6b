"""Which clients may ask, by the names in their certificates.

An authority that signs every workload of a mesh makes no difference between a gateway and any
other pod. Whoever may ask learns which keys are good, and can use up anybody's limits.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from functools import lru_cache
from typing import Any, Final, TypeAlias, cast

import grpc
import structlog
from cryptography import x509

from authz_service.clock import Clock
from authz_service.observe.once_a_minute import OnceAMinute

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Found: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Answer: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
Stream: TypeAlias = Callable[[Any, Context], AsyncIterator[Any]]

_LOCAL: Final = "unix:"
_SPIFFE: Final = "spiffe://"
_NAMES_TOLD: Final = 5
_CERTIFICATES_KEPT: Final = 64  # a gateway asks over a few connections, with one certificate

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
        self._refused = refused
        self._telling = OnceAMinute(clock)

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
        if self._telling.is_due():
            _log.warning("a client asked that may not", names=sorted(names)[:_NAMES_TOLD])


def _names(context: Context) -> frozenset[str]:
    """The URIs and DNS names of the client's certificate, which gRPC has verified.

    What gRPC itself tells of names (`peer_uri`, `peer_dns`) ends at their first NUL, as if an
    authority had signed the beginning alone. So they are read from the certificate.
    """
    (certificate,) = context.auth_context().get("x509_pem_cert", (b"",))
    return _names_in(certificate)


@lru_cache(maxsize=_CERTIFICATES_KEPT)
def _names_in(certificate: bytes) -> frozenset[str]:
    """The names in a certificate in PEM; none where it has none, or none that can be read.

    One that looks like the other kind is marked, and is on no list: whoever may have any DNS name
    signed for them has no SPIFFE id by that.
    """
    try:
        extensions = x509.load_pem_x509_certificate(certificate).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.UnsupportedGeneralNameType):
        return frozenset()
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    hosts = names.get_values_for_type(x509.DNSName)
    return frozenset(
        [
            *(uri if uri.startswith(_SPIFFE) else f"URI:{uri}" for uri in uris),
            *(f"DNS:{host}" if host.startswith(_SPIFFE) else host for host in hosts),
        ]
    )
