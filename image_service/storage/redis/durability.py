"""Whether a server keeps what it was told. That is the operator's to set, and ours to look at."""

from typing import Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from image_service.storage.redis.client import answered

_SETTINGS: Final = ("appendonly", "appendfsync", "maxmemory-policy")
_UNKNOWN: Final = (
    "whether accepted jobs survive a crash of the job store cannot be checked: "
    "it does not show its configuration"
)


async def check_durability(client: Redis) -> list[str]:
    """Say, in a sentence each, by which settings the server may lose accepted jobs.

    Raises:
        StoreError: the server does not answer.
    """
    async with answered():
        try:
            found = await client.config_get(*_SETTINGS)
        except ResponseError:
            # Managed servers forbid it, or have no such command.
            return [_UNKNOWN]
    appendonly, appendfsync, policy = (found.get(name) for name in _SETTINGS)
    if appendonly is None or appendfsync is None or policy is None:
        return [_UNKNOWN]
    return _risks(appendonly=appendonly, appendfsync=appendfsync, policy=policy)


def _risks(*, appendonly: str, appendfsync: str, policy: str) -> list[str]:
    risks = []
    if appendonly != "yes":
        risks.append(
            f"appendonly of the job store is {appendonly}: "
            "accepted jobs are lost when it crashes; set it to yes"
        )
    elif appendfsync != "always":
        risks.append(
            f"appendfsync of the job store is {appendfsync}: "
            "the latest accepted jobs are lost when its machine crashes; set it to always"
        )
    if policy != "noeviction":
        risks.append(
            f"maxmemory-policy of the job store is {policy}: "
            "jobs may be thrown away when memory is short; set it to noeviction"
        )
    return risks
