"""The decoder process: the only place where foreign bytes meet image code.

Run as `python -m image_service.decoder MEMORY_BYTES DEADLINE_S PARENT_PID`. Requests come as JSON
lines on standard input, answers go as JSON lines to standard output: any number of
`{"progress": …}`, then one `{"facts": …}`, `{"done": true}`, `{"refused": …}`, `{"unfit": …}` or
`{"failed": …}`.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from image_service.core.bounds import ImageRefusedError, ResultRefusedError
from image_service.core.formats import ImageFormat
from image_service.core.inspect import inspect
from image_service.core.spec import TransformSpec
from image_service.core.transform import transform

_MAX_FILE_BYTES: Final = 2 * 1024**3
_PR_SET_PDEATHSIG: Final = 1

Answer = Mapping[str, object]
Tell = Callable[[Answer], None]


def main(memory_bytes: int, deadline_s: int, parent_pid: int) -> None:
    """Answer requests until standard input ends."""
    _confine(memory_bytes)
    _die_with(parent_pid)
    _tell({"ready": True})
    for line in sys.stdin:
        # The parent keeps the deadline. This one is for the time after the parent is gone.
        signal.alarm(deadline_s)
        _tell(answer(json.loads(line), _tell))
        signal.alarm(0)


def answer(request: Mapping[str, Any], tell: Tell) -> Answer:
    """Do what one request asks. Whatever goes wrong becomes an answer."""
    try:
        return _carry_out(request, tell)
    except ImageRefusedError as refusal:
        return {"refused": str(refusal)}
    except ResultRefusedError as refusal:
        return {"unfit": str(refusal)}
    except Exception as error:  # noqa: BLE001 - foreign bytes, foreign code: nothing may get out
        return {"failed": type(error).__name__}


def _carry_out(request: Mapping[str, Any], tell: Tell) -> Answer:
    source = Path(request["source"])
    if "target" not in request:
        return {"facts": asdict(inspect(source))}
    spec = TransformSpec(
        scale=request["spec"]["scale"],
        format=ImageFormat(request["spec"]["format"]),
        quality=request["spec"]["quality"],
        keep_metadata=request["spec"]["keep_metadata"],
    )
    transform(source, Path(request["target"]), spec, lambda done: tell({"progress": done}))
    return {"done": True}


def _confine(memory_bytes: int) -> None:
    # Stopping is the parent's decision: a Ctrl-C on the terminal reaches the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE_BYTES, _MAX_FILE_BYTES))
    # macOS knows the address space limit but refuses to set it.
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _die_with(parent_pid: int) -> None:
    """Have the kernel end this process with its parent, even in the middle of decoding."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        raise SystemExit


def _tell(message: Answer) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
