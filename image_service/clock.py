"""The only place of the image service that asks what time it is or makes an identifier."""

import secrets
import time
import uuid
from typing import Protocol


class Clock(Protocol):
    """A source of time that tests can replace."""

    def now_ms(self) -> int:
        """Wall-clock milliseconds since the Unix epoch. May step backwards."""


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Wall-clock milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000  # noqa: TID251 - this module is the door


def new_job_id() -> str:
    """128 random bits: who does not own a job cannot guess its name."""
    return secrets.token_hex(16)


def new_owner_id() -> str:
    """A name by which a worker process knows its own deliveries."""
    return secrets.token_hex(8)


def new_request_id() -> str:
    """A UUID for a request that came without an identifier."""
    return str(uuid.uuid4())  # noqa: TID251 - this module is the door
