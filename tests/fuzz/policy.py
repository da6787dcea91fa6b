"""Any text is a policy, or a list of what is wrong with it.

Run it with `python -m tests.fuzz.policy FOLDER`.
"""

from pathlib import Path

from authz_service.core.rules import Policy
from authz_service.errors import ConfigurationError
from authz_service.testing.builders import read_policy
from tests.fuzz.guided import fuzz

_POLICIES = Path(__file__).parents[1] / "fixtures" / "policies"

SEEDS = tuple(file.read_bytes() for file in sorted(_POLICIES.glob("*/*.yaml")))


def target(data: bytes) -> None:
    """A file as it is read: bytes that are no text stand for themselves."""
    text = data.decode("utf-8", errors="surrogateescape")
    problems = _problems(text)
    assert problems is None or len(problems) > 0
    for problem in problems or ():
        assert problem.startswith("policy.yaml:")


def _problems(text: str) -> tuple[str, ...] | None:
    try:
        assert isinstance(read_policy(text, environment={"X": text}), Policy)
    except ConfigurationError as error:
        return error.problems
    return None


def main() -> None:
    """Fuzz, guided by coverage."""
    fuzz(target, SEEDS)


if __name__ == "__main__":
    main()
