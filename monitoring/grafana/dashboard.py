"""The Grafana dashboard, built from typed code: `make dashboard` writes it."""

from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync

from monitoring.grafana.cost_rows import cost_rows
from monitoring.grafana.panels import DATASOURCE
from monitoring.grafana.request_rows import request_rows
from monitoring.grafana.state_rows import state_rows

FILE: Final = Path(__file__).with_name("imagen-dashboard.json")


def built() -> dashboard.Dashboard:
    """All rows, for the last three hours."""
    made = (
        dashboard.Dashboard("Image API and its sidecar")
        .uid("imagen-authz")
        .description("What clients see, what the sidecar decides and why, and what it costs.")
        .tags(["imagen", "authz", "envoy"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .refresh("30s")
        .timezone("browser")
        .with_variable(
            dashboard.DatasourceVariable(DATASOURCE).label("Data source").type("prometheus")
        )
    )
    number = 0
    for row in (*request_rows(), *state_rows(), *cost_rows()):
        number += 1
        made.with_row(dashboard.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            made.with_panel(panel.id(number))
    return made


def encoded() -> str:
    """The dashboard as the file has it."""
    return JSONEncoder(sort_keys=True, indent=2).encode(built().build()) + "\n"


if __name__ == "__main__":
    FILE.write_text(encoded(), "utf-8")
