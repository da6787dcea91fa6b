"""Runs a target under atheris, which follows the branches that each input takes.

It is no dependency of the project: `pip install atheris` beside it. The first argument is a folder
that keeps the inputs it finds worth keeping; the others are libFuzzer's, as `-max_total_time=600`.
"""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

Target = Callable[[bytes], None]


def fuzz(target: Target, seeds: Sequence[bytes]) -> None:
    """Call the target until it raises, or until the arguments say stop."""
    try:
        atheris = import_module("atheris")
    except ImportError:
        sys.exit("atheris is not installed; pip install atheris")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (folder / f"seed-{number}").write_bytes(seed)
    atheris.instrument_all()
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
