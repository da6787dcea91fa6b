"""Exit codes, and how an error becomes one. Light, for commands that have to start at once."""

import sys
from collections.abc import Callable
from typing import Final

from authz_service.errors import AuthzServiceError, ConfigurationError

DONE: Final = 0
FAILED: Final = 1
WRONG: Final = 2
REFUSED: Final = 3


def exit_code(run: Callable[[], int]) -> int:
    """What `run` returns; after an error, which is printed line by line, the code of its kind."""
    try:
        return run()
    except ConfigurationError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return WRONG
    except AuthzServiceError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
