"""Enlarge one image: a client of the image API that needs nothing but Python 3.11.

    IMAGEN_API_KEY=dev-key-pro python upscale.py photo.jpg large.jpg scale=4 format=webp

Run again after whatever went wrong, it finds the job that it made before: the name of a request
is made of what it asks for.
"""

import hashlib
import http.client
import os
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

URL = urlsplit(os.environ.get("IMAGEN_URL", "http://localhost:8000"))
API_KEY = os.environ.get("IMAGEN_API_KEY", "")
TRIES = 600
LONGEST_WAIT_S = 120


class Refused(Exception):  # noqa: N818 - it reads as a sentence
    """The service said no, and waiting does not help."""


def ask(
    method: str, path: str, body: bytes | None = None, **headers: str
) -> http.client.HTTPResponse:
    """One request and its answer, with the body still to be read."""
    kind = http.client.HTTPSConnection if URL.scheme == "https" else http.client.HTTPConnection
    connection = kind(URL.netloc, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"X-API-Key": API_KEY, **named})
    return connection.getresponse()


def patiently(
    method: str, path: str, body: bytes | None = None, **headers: str
) -> http.client.HTTPResponse:
    """Ask until there is a good answer. `Retry-After` says when, and whether, to ask again."""
    problem = ""
    for _ in range(TRIES):
        try:
            answer = ask(method, path, body, **headers)
        except OSError as error:
            wait, problem = 1.0, str(error)
        else:
            if answer.status < http.client.BAD_REQUEST:
                return answer
            problem = f"{answer.status} {answer.read().decode()}"
            wait = float(answer.headers["Retry-After"] or "inf")
        if wait > LONGEST_WAIT_S:
            break
        print(f"again in {wait:.0f} s: {problem}", file=sys.stderr)
        time.sleep(wait)
    raise Refused(problem)


def form(image: bytes, fields: Mapping[str, str]) -> tuple[str, bytes]:
    """The type and the bytes of a form (RFC 7578) with one file."""
    boundary = secrets.token_hex(16)
    start = f"--{boundary}\r\nContent-Disposition: form-data; name="
    parts = [f'{start}"{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    parts += [f'{start}"file"; filename="image"\r\n\r\n'.encode(), image]
    parts += [f"\r\n--{boundary}--\r\n".encode()]
    return f"multipart/form-data; boundary={boundary}", b"".join(parts)


def upscale(source: Path, target: Path, fields: Mapping[str, str]) -> None:
    """Send the image, wait for the result, and keep it once all of it is there."""
    image = source.read_bytes()
    name = hashlib.sha256(repr(sorted(fields.items())).encode() + image).hexdigest()
    content_type, body = form(image, fields)
    accepted = patiently(
        "POST", "/api/v1/images/upscale", body, Content_Type=content_type, Idempotency_Key=name
    )
    job = accepted.headers["Location"]
    accepted.read()
    print(job)
    result = patiently("GET", f"{job}/result")
    part = target.with_name(target.name + ".part")
    part.write_bytes(result.read())
    part.replace(target)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [photo, enlarged, *fields]:
            pass
        case _:
            sys.exit(__doc__)
    try:
        upscale(Path(photo), Path(enlarged), dict(it.split("=") for it in fields))
    except Refused as refusal:
        sys.exit(f"refused: {refusal}")
