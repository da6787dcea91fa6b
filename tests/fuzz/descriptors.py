"""Any bytes are a file of rate limits, or a list of what is wrong with it.

Run it with `python -m tests.fuzz.descriptors FOLDER`.
"""

import json
from pathlib import Path

from authz_service.core.descriptor_rules import DescriptorRules
from authz_service.core.descriptors import Algorithm
from authz_service.descriptors.compile import limit_as_data
from authz_service.descriptors.report import changes
from authz_service.descriptors.sources import SourceFile, compile_sources, examine
from authz_service.errors import ConfigurationError
from tests.fuzz.guided import fuzz

_FILES = Path(__file__).parents[1] / "fixtures" / "descriptors"

SEEDS = tuple(file.read_bytes() for file in sorted(_FILES.glob("*/*.yaml")))


def target(data: bytes) -> None:
    """A file as it is read: bytes that are no text stand for themselves."""
    files = [SourceFile("a.yaml", data.decode("utf-8", errors="surrogateescape"))]
    for change in changes(examine(files, merge_domains=True, algorithm=Algorithm.FIXED), ()):
        assert str(change).startswith("a.yaml:")
    told = _told(files)
    if isinstance(told, ConfigurationError):
        assert told.problems
        assert all(problem.startswith("a.yaml:") for problem in told.problems)
        return
    for name, limit in told.limits():
        assert json.dumps(limit_as_data(limit)).encode()
        assert name.encode()


def _told(files: list[SourceFile]) -> DescriptorRules | ConfigurationError:
    try:
        return compile_sources(files)
    except ConfigurationError as error:
        return error


def main() -> None:
    """Fuzz, guided by coverage."""
    fuzz(target, SEEDS)


if __name__ == "__main__":
    main()
