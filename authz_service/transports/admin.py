"""The admin API's listener: who may speak to it, and how much they may say.

What it offers stands in the routes that it is given. Whatever is sent, no answer is a 500.
"""

import asyncio
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import unquote

import structlog
from aiohttp import web

from authz_service.addresses import HostAndPort, is_ip
from authz_service.errors import ListenError, StoreError
from authz_service.policy.strict_json import read_json
from authz_service.transports.admin_route import (
    AdminRequest,
    AdminRoute,
    RefusedError,
    Reply,
    not_found,
    refusal,
    unavailable,
)

MAX_BODY_BYTES: Final = 64 << 10

_HEAD_SECONDS: Final = 15.0
_BODY_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 30.0
_LINGER_SECONDS: Final = 2.0
_CLOSE_SECONDS: Final = 1.0
_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_BEARER: Final = re.compile(r"bearer ([!-~]+)", re.IGNORECASE)

_log = structlog.get_logger(__name__)


class AdminApi:
    """One HTTP listener that answers whoever knows the token."""

    def __init__(
        self,
        place: HostAndPort,
        *,
        token: str,
        routes: Sequence[AdminRoute],
        new_id: Callable[[], str],
    ) -> None:
        self._place = place
        self._token_digest = _digest(token)
        self._routes = tuple(routes)
        self._new_id = new_id
        self._web = web.Server(self._answer)
        self._listener: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, also when 0 was asked for."""
        return self._place.port

    async def start(self) -> None:
        """Listen.

        Raises:
            ListenError: the port is taken, or the address is not ours.
        """
        loop = asyncio.get_running_loop()
        host = self._place.host
        try:
            self._listener = await loop.create_server(self._connection, host, self._place.port)
        except OSError as error:
            reason = error.strerror or error
            raise ListenError(f"cannot listen on {self._place}: {reason}") from error
        self._place = HostAndPort(host, self._listener.sockets[0].getsockname()[1])
        _log.info("the admin API listens", listen=str(self._place))
        if not _is_loopback(host):
            _log.warning("the admin API can be reached from other machines, without TLS")

    async def stop(self) -> None:
        """Stop listening, and let requests in hand end."""
        if self._listener is not None:
            self._listener.close()
        self._web.pre_shutdown()  # idle connections end at once
        await self._web.shutdown(_CLOSE_SECONDS)

    def _connection(self) -> "_Connection":
        return _Connection(
            self._web,
            new_id=self._new_id,
            loop=asyncio.get_running_loop(),
            access_log=None,
            keepalive_timeout=_HEAD_SECONDS,  # also bounds a request's head that stops half-way
            lingering_time=_LINGER_SECONDS,  # for a body that nobody wants to read
            auto_decompress=False,
        )

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        request_id = request.headers.get("X-Request-ID", "")
        if not _SANE_ID.fullmatch(request_id):
            request_id = self._new_id()
        try:
            self._authorize(request)
            async with asyncio.timeout(_ANSWER_SECONDS):
                reply = await self._handle(request)
        except TimeoutError:
            _log.warning("admin request took too long", request_id=request_id)
            reply = unavailable("The service did not answer in time.").reply(request_id)
        except Exception as error:  # noqa: BLE001 - whatever it was, the client gets an answer
            reply = _refused(error, request_id).reply(request_id)
        return _response(reply, request_id)

    def _authorize(self, request: web.BaseRequest) -> None:
        """Go on only with the token. Digests are compared, so timing tells nothing of it."""
        values = request.headers.getall("Authorization", [])
        bearer = _BEARER.fullmatch(values[0]) if len(values) == 1 else None
        if bearer is not None and hmac.compare_digest(_digest(bearer[1]), self._token_digest):
            return
        _log.warning("admin request without the token", remote=request.remote)
        raise RefusedError(
            HTTPStatus.UNAUTHORIZED,
            "UNAUTHENTICATED",
            "Send the admin token as a bearer token.",
            headers={"WWW-Authenticate": "Bearer"},
        )

    async def _handle(self, request: web.BaseRequest) -> Reply:
        route, names = self._route(request)
        return await route.handle(
            AdminRequest(
                names=names,
                query=tuple(request.query.items()),
                body=await _json_body(request) if route.takes_body else None,
            )
        )

    def _route(self, request: web.BaseRequest) -> tuple[AdminRoute, tuple[str, ...]]:
        # Split before decoding: an id may hold a slash.
        segments = [unquote(segment) for segment in request.rel_url.raw_path.split("/")]
        found = [
            (route, names)
            for route in self._routes
            if (names := route.names_in(segments)) is not None
        ]
        if not found:
            raise not_found("There is nothing at this path.")
        for route, names in found:
            if route.method == request.method:
                return route, names
        raise RefusedError(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "METHOD_NOT_ALLOWED",
            "This method is not allowed here.",
            headers={"Allow": ", ".join(route.method for route, _ in found)},
        )


class _Connection(web.RequestHandler):
    """aiohttp's connection. Bytes that are not HTTP end here, and nobody is told what they were."""

    def __init__(self, server: web.Server, *, new_id: Callable[[], str], **options: Any) -> None:  # noqa: ANN401
        super().__init__(server, **options)
        self._new_id = new_id

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be handled, and close."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is already under way")
        error = _bad_request("The HTTP request is malformed.")
        request_id = self._new_id()
        response = _response(error.reply(request_id), request_id)
        response.force_close()
        return response


def _refused(error: Exception, request_id: str) -> RefusedError:
    refused = refusal(error)
    if isinstance(error, StoreError):
        _log.warning("an admin request failed in a store", request_id=request_id, error=str(error))
    if refused is None:
        _log.error("admin request failed", request_id=request_id, exc_info=error)
        return unavailable("The service is temporarily unavailable.")
    return refused


def _response(reply: Reply, request_id: str) -> web.Response:
    headers = {"Cache-Control": "no-store", "X-Request-ID": request_id, **reply.headers}
    if reply.data is None:
        return web.Response(status=reply.status, headers=headers)
    return web.Response(
        status=reply.status,
        text=reply.text(),
        content_type=reply.content_type,
        headers=headers,
    )


async def _json_body(request: web.BaseRequest) -> object:
    if request.content_type != "application/json":
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", "Send application/json."
        )
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            content = await _content(request)
    except TimeoutError:
        raise RefusedError(
            HTTPStatus.REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "The request did not arrive in time."
        ) from None
    except (web.RequestPayloadError, ConnectionError):
        raise _bad_request("The HTTP request is malformed.") from None
    try:
        return read_json(content.decode())
    except ValueError:
        raise _bad_request("The body is not valid JSON, or names a member twice.") from None


async def _content(request: web.BaseRequest) -> bytes:
    content = bytearray()
    async for part in request.content.iter_any():
        content += part
        if len(content) > MAX_BODY_BYTES:
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "PAYLOAD_TOO_LARGE",
                f"The body may have at most {MAX_BODY_BYTES} bytes.",
            )
    return bytes(content)


def _bad_request(message: str) -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", message)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (is_ip(host) and ip_address(host).is_loopback)
