"""Results as files in one folder, bounded in total."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from image_service.jobs import Result

_PIECE_BYTES: Final = 256 * 1024


class FolderResultStore:
    """The `ResultStore` of one machine."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._sizes: dict[str, int] = {}

    async def has_room(self) -> bool:
        """See `ResultStore.has_room`. The results of jobs already under way may go beyond it."""
        return sum(self._sizes.values()) < self._max_bytes

    async def keep(self, job_id: str, produced: Path, media_type: str) -> Result:
        """See `ResultStore.keep`."""
        result = await asyncio.to_thread(self._move_in, job_id, produced, media_type)
        self._sizes[job_id] = result.size
        return result

    async def read(self, result: Result, *, start: int, length: int) -> AsyncIterator[bytes]:
        """See `ResultStore.read`."""
        file = await asyncio.to_thread((self._folder / result.location).open, "rb")
        try:
            file.seek(start)
            while length > 0:
                piece = await asyncio.to_thread(file.read, min(length, _PIECE_BYTES))
                if not piece:
                    return
                length -= len(piece)
                yield piece
        finally:
            file.close()

    async def delete(self, job_id: str) -> None:
        """See `ResultStore.delete`."""
        self._sizes.pop(job_id, None)
        await asyncio.to_thread((self._folder / job_id).unlink, missing_ok=True)

    def _move_in(self, job_id: str, produced: Path, media_type: str) -> Result:
        with produced.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        kept = produced.replace(self._folder / job_id)
        return Result(job_id, kept.stat().st_size, media_type, f'"{digest[:32]}"')
