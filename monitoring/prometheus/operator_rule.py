"""Rules and alerts as an object of the Prometheus operator: `make render` writes it."""

from pathlib import Path
from typing import Final

import yaml

_FOLDER: Final = Path(__file__).parent
FILE: Final = _FOLDER.parents[1] / "k8s" / "base" / "prometheus-rule.yaml"
_HEAD: Final = """\
# Written by `make render` from monitoring/prometheus/rules.yaml and alerts.yaml, which explain it.
# Change those and write it anew: what is changed here is lost.
"""


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as it is."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def text() -> str:
    """The object as YAML, with the groups of both files."""
    groups = [
        group
        for name in ("rules.yaml", "alerts.yaml")
        for group in yaml.safe_load((_FOLDER / name).read_text("utf-8"))["groups"]
    ]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "imagen"},
        "spec": {"groups": groups},
    }
    return _HEAD + yaml.dump(rule, Dumper=_Dumper, sort_keys=False, width=1000)


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
