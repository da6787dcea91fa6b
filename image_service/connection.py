"""One client connection, whose protocol errors take the one form of errors too."""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web

from image_service.clock import new_request_id
from image_service.errors import BadRequestException, InternalErrorException
from image_service.middleware import error_response, request_id_of
from image_service.observe import ctx_logger


class Connection(web.RequestHandler):
    """aiohttp's connection. Bytes that are not HTTP never reach a middleware; they end here."""

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
        malformed = status < HTTPStatus.INTERNAL_SERVER_ERROR
        if not malformed:
            ctx_logger.error("Connection broke", exc_info=exc, reason=message)
        error = (
            BadRequestException("The HTTP request is malformed.")
            if malformed
            else InternalErrorException()
        )
        request_id = request_id_of(request.headers.get("X-Request-ID"), new_request_id)
        response = error_response(error, request_id)
        response.force_close()
        return response


def connection_factory(server: web.Server, loop: AbstractEventLoop) -> Callable[[], Connection]:
    """What the listener calls for every new connection."""

    def connect() -> Connection:
        # Envoy writes the access line. None turns ours off, whatever the annotation says.
        return Connection(server, loop=loop, access_log=None)  # type: ignore[arg-type]

    return connect
