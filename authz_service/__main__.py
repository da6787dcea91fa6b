"""`authz_service` and `python -m authz_service`."""

import sys


def main() -> int:
    """Run the command that the process was started with, and return its exit code.

    `drain` runs while a pod is being stopped and may not come late: nothing is imported for it but
    what it uses.
    """
    arguments = sys.argv[1:]
    if arguments[:1] == ["drain"]:
        from authz_service.commands.drain import main as run  # noqa: PLC0415
    else:
        from authz_service.cli import main as run  # noqa: PLC0415
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
