"""The schema of the stand-in provider: what `README.md` beside it says, and where it is from."""

import gzip
import json
import re
from pathlib import Path
from typing import Any, Final

MODULES: Final = Path(__file__).parents[3] / "terraform"
SCHEMA: Final = Path(__file__).parent / "google.json.gz"

_RESOURCE: Final = re.compile(r'^resource "(google_\w+)"', re.MULTILINE)


def resources_in_use() -> list[str]:
    """The kinds of resources that the modules and the example make."""
    files = MODULES.rglob("*.tf")
    return sorted({kind for file in files for kind in _RESOURCE.findall(file.read_text())})


def read_schema() -> dict[str, Any]:
    """For each resource its block: `attributes` and nested `blocks`."""
    schema: dict[str, Any] = json.loads(gzip.decompress(SCHEMA.read_bytes()))
    return schema


def write_schema(schema: dict[str, Any]) -> None:
    """Write it so that the same schema is the same bytes."""
    text = json.dumps(schema, sort_keys=True, separators=(",", ":"))
    SCHEMA.write_bytes(gzip.compress(text.encode(), mtime=0))
