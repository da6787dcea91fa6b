"""What one of several processes has of a limit while each counts by itself. No I/O."""


def share(limit: int, processes: int) -> int:
    """The places of a limit that one process gives out: one at least."""
    return max(1, limit // processes)


def taken_share(taken: int, limit: int, part: int) -> int:
    """How many places of a part are taken where so many of the whole limit are; rounded up."""
    return -(-part * taken // limit)
