"""One GET of a key set. Strict, because what comes decides who is let in.

HTTPS only, no redirects, no proxies, no compression, little time, few bytes.
"""

import ssl
from http import HTTPStatus
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

TOTAL_SECONDS: Final = 5.0
MAX_BYTES: Final = 1 << 20

_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}


class FetchError(Exception):
    """The keys did not come. The message holds neither the URL nor a word of the answer."""


class RefusedAnswerError(FetchError):
    """An answer came that is not taken, whatever it holds."""


async def fetch(url: str, context: ssl.SSLContext, *, total_s: float = TOTAL_SECONDS) -> bytes:
    """The body of a 200, as it is: what it is says the content, not its type.

    Raises:
        FetchError: nobody answered in time, or with a certificate that is not trusted.
        RefusedAnswerError: the answer is another one, or too long.
    """
    # Not kept between fetches, which are minutes apart: the provider may move meanwhile.
    try:
        async with (
            ClientSession(
                connector=TCPConnector(ssl=context, force_close=True),
                timeout=ClientTimeout(total=total_s),
                headers=_HEADERS,
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
            ) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            if answer.status != HTTPStatus.OK:
                raise RefusedAnswerError(f"status {answer.status}")
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise RefusedAnswerError("compressed, which nobody asked for")
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise RefusedAnswerError(f"longer than {MAX_BYTES} bytes")
            return bytes(body)
    except (ClientError, OSError, ValueError) as error:
        # Their texts may quote the URL or the answer.
        raise FetchError(type(error).__name__) from None
