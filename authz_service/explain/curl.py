"""A curl command line as the request that curl would send.

What decides nothing here (where output goes, how long to wait) is passed over. A flag that is not
known is refused: it could add a credential. No message quotes an argument: any may be a secret.
"""

import re
import shlex
from base64 import b64encode
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Final, NoReturn
from urllib.parse import quote_plus, unquote

from authz_service.errors import ConfigurationError
from authz_service.explain.request import ClientRequest, Header, client_request

_SHORT: Final[Mapping[str, str]] = {
    "0": "http1.0", "4": "ipv4", "6": "ipv6", "#": "progress-bar", "A": "user-agent",
    "D": "dump-header", "E": "cert", "F": "form", "G": "get", "H": "header", "I": "head",
    "J": "remote-header-name", "L": "location", "N": "no-buffer", "O": "remote-name",
    "S": "show-error", "T": "upload-file", "X": "request", "b": "cookie", "c": "cookie-jar",
    "d": "data", "e": "referer", "f": "fail", "g": "globoff", "i": "include", "k": "insecure",
    "m": "max-time", "o": "output", "r": "range", "s": "silent", "u": "user", "v": "verbose",
    "w": "write-out", "x": "proxy",
}  # fmt: skip
_WITHOUT_ARGUMENT: Final = frozenset((
    "compressed", "fail", "fail-with-body", "get", "globoff", "head", "http1.0", "http1.1", "http2",
    "http2-prior-knowledge", "include", "insecure", "ipv4", "ipv6", "location", "no-buffer",
    "no-progress-meter", "path-as-is", "progress-bar", "remote-header-name", "remote-name",
    "show-error", "show-headers", "silent", "verbose",
))  # fmt: skip
_FORM: Final = frozenset(("form", "form-string"))
_FROM_FILE: Final = frozenset(("data", "data-ascii", "data-binary", "json"))
_DATA: Final = _FROM_FILE | {"data-raw", "data-urlencode"}
_WITH_ARGUMENT: Final = _FORM | _DATA | frozenset((
    "cacert", "capath", "cert", "connect-timeout", "connect-to", "cookie", "cookie-jar",
    "dump-header", "header", "key", "limit-rate", "max-time", "oauth2-bearer", "output", "proxy",
    "range", "referer", "request", "resolve", "retry", "retry-delay", "retry-max-time", "trace",
    "trace-ascii", "upload-file", "url", "user", "user-agent", "write-out",
))  # fmt: skip
_SHELL: Final = frozenset(("|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1"))
_SHOWN_FLAG: Final = re.compile(r"-[A-Za-z:]|--[a-z][a-z0-9.-]{1,30}")
_OTHER_SCHEME: Final = re.compile(r"(?!https?://)[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_URL: Final = re.compile(
    r"(?:https?://)?(?:([^/?#@]*)@)?[^/?#@]+(/[^?#]*)?(\?[^#]*)?(?:#.*)?",
    re.IGNORECASE | re.DOTALL,
)

Flag = tuple[str, str]
"""A flag by its long name, and its argument."""


def read_curl(text: str, *, client_address: str) -> ClientRequest:
    """The request of a command line that begins with `curl`.

    Raises:
        ConfigurationError: it is no such command, or asks for something that is not known here.
    """
    flags = tuple(_flags(deque(_words(text))))
    target, user = _address(flags)
    headers = tuple(_headers(flags))
    return client_request(
        method=_method(flags),
        target=target,
        headers=(*headers, *_authorization(flags, user, headers)),
        client_address=client_address,
    )


def _words(text: str) -> list[str]:
    try:
        text.encode(errors="surrogateescape")
        # A shell joins such lines; shlex would keep the line's end as a word.
        words = shlex.split(text.replace("\\\r\n", "").replace("\\\n", ""))
    except UnicodeEncodeError:
        _refuse("has characters that cannot be sent")
    except ValueError:
        _refuse("has a quote or a backslash that nothing ends")
    if not words or PurePath(words[0]).name != "curl":
        _refuse("does not begin with curl")
    if not _SHELL.isdisjoint(words):
        _refuse("holds more than one command: leave out pipes, redirections and what follows")
    return words[1:]


def _flags(words: deque[str]) -> Iterator[Flag]:
    """Every flag in its order; an address stands for `--url`."""
    while words:
        word = words.popleft()
        if word.startswith("--"):
            yield _flag(word[2:], words, word)
        elif word.startswith("-") and word != "-":
            yield from _letters(word[1:], words)
        else:
            yield "url", word


def _letters(letters: str, words: deque[str]) -> Iterator[Flag]:
    """`-sS`, `-XPOST`, `-X POST`: letters, of which the last may have an argument."""
    for place, letter in enumerate(letters, start=1):
        name = _SHORT.get(letter, "")
        if name in _WITH_ARGUMENT and letters[place:]:
            yield name, letters[place:]
            return
        yield _flag(name, words, f"-{letter}")


def _flag(name: str, words: deque[str], shown: str) -> Flag:
    if name in _WITHOUT_ARGUMENT:
        return name, ""
    if name not in _WITH_ARGUMENT:
        told = f"the flag {shown}" if _SHOWN_FLAG.fullmatch(shown) else "a flag"
        _refuse(f"has {told}, which explain does not know; leave it out if it sends nothing")
    if not words:
        _refuse(f"ends after {shown}, which takes an argument")
    return name, words.popleft()


def _has(flags: Sequence[Flag], *names: str) -> bool:
    return any(name in names for name, _ in flags)


def _last(flags: Sequence[Flag], name: str) -> str | None:
    return next((value for given, value in reversed(flags) if given == name), None)


def _method(flags: Sequence[Flag]) -> str:
    chosen = _last(flags, "request")
    if chosen is not None:
        return chosen
    if _has(flags, "head"):
        return "HEAD"
    if _has(flags, "get"):
        return "GET"
    if _has(flags, "upload-file"):
        return "PUT"
    return "POST" if _has(flags, *_DATA, *_FORM) else "GET"


def _address(flags: Sequence[Flag]) -> tuple[str, str | None]:
    """Path with query, and the user that the address names."""
    addresses = [value for name, value in flags if name == "url"]
    if not addresses:
        _refuse("has no address")
    if len(addresses) > 1:
        _refuse("has two addresses; is an argument with blanks not quoted?")
    found = _URL.fullmatch(addresses[0])
    if found is None or _OTHER_SCHEME.match(addresses[0]):
        _refuse("has an address that is no http:// or https:// one")
    user, path, query = found[1], found[2] or "/", (found[3] or "")[1:]
    if _has(flags, "get"):
        query = "&".join(part for part in (query, *_data(flags)) if part)
    return f"{path}?{query}" if query else path, None if user is None else unquote(user)


def _data(flags: Sequence[Flag]) -> Iterator[str]:
    """What -d and the like add to the query."""
    for name, value in flags:
        if name == "data-urlencode":
            yield _encoded(value)
        elif name in _FROM_FILE and value.startswith("@"):
            _refuse_file("the query")
        elif name in _DATA:
            yield value


def _encoded(value: str) -> str:
    """`content`, `=content` or `name=content`, with the content encoded."""
    name, equals, content = value.partition("=")
    if "@" in name:
        _refuse_file("the query")
    if not equals:
        return quote_plus(value, errors="surrogateescape")
    encoded = quote_plus(content, errors="surrogateescape")
    return f"{name}={encoded}" if name else encoded


def _headers(flags: Sequence[Flag]) -> Iterator[Header]:
    for given, line in flags:
        if given != "header":
            continue
        if line.startswith("@"):
            _refuse_file("headers")
        name, colon, value = line.partition(":")
        if not colon and line.endswith(";"):
            yield line[:-1], ""  # curl's way to send an empty one
        elif not colon:
            _refuse("has a header without a colon")
        elif value.strip():
            yield name, value  # with nothing after its colon, curl leaves a header out


def _authorization(
    flags: Sequence[Flag], user: str | None, headers: Sequence[Header]
) -> Iterator[Header]:
    """The header that -u and the like stand for, unless one is given as it is."""
    if any(name.lower() == "authorization" for name, _ in headers):
        return
    bearer, given = _last(flags, "oauth2-bearer"), _last(flags, "user")
    login = user if given is None else given
    if bearer is not None:
        yield "authorization", f"Bearer {bearer}"
    elif login is not None:
        if ":" not in login:
            _refuse("names a user without a password, and curl would ask for it")
        encoded = b64encode(login.encode(errors="surrogateescape")).decode()
        yield "authorization", f"Basic {encoded}"


def _refuse_file(what: str) -> NoReturn:
    _refuse(f"reads {what} from a file; write it out")


def _refuse(problem: str) -> NoReturn:
    raise ConfigurationError([f"curl command: {problem}"])
