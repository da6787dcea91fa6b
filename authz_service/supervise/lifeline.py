"""Run a program that cannot outlive its parent. Executed as a file, with nothing imported.

    python lifeline.py PARENT_PID PROGRAM ARGUMENT...

On Linux the kernel kills the program when the thread that started it ends, even by SIGKILL
(prctl(2), PR_SET_PDEATHSIG; it survives execve(2)). Setting this between fork and exec of a
process with threads is not safe, so a process of its own does it.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent and become the program."""
    parent, program, *_ = sys.argv[1:]
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("the parent ended before its child began")
    os.execvp(program, sys.argv[2:])  # noqa: S606 - what this file is for


if __name__ == "__main__":
    main()
