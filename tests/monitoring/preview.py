"""`make preview`: draws the picture in docs/dashboard.md, from minutes of the real stack."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from authz_service.clock import SystemClock
from monitoring.grafana.preview import drawn
from monitoring.grafana.preview_data import Span, lines
from tests.monitoring.dashboard_prometheus import prometheus
from tests.monitoring.dashboard_queries import ROOT, dashboard
from tests.monitoring.live_stack import authorizer, live_stack
from tests.monitoring.preview_traffic import load

FILE: Final = ROOT / "docs" / "dashboard.png"
SECONDS: Final = 240
STEP_S: Final = 2
WINDOW_S: Final = 15


def main() -> None:
    """Have a Prometheus scrape the stacks under load, then draw what it has of that time."""
    program = shutil.which("prometheus")
    if program is None:
        sys.exit("prometheus is not on the PATH")
    clock = SystemClock()
    with (
        tempfile.TemporaryDirectory(prefix="preview-") as folder,
        live_stack(Path(folder)) as stack,
        authorizer() as gateway,
        prometheus(program, stack, gateway) as scraping,
        load(stack) as traffic,
    ):
        start_s = clock.now_ms() / 1000 + WINDOW_S  # from then on rates see a whole window
        traffic.last(SECONDS)
        span = Span(start_s, clock.now_ms() / 1000, STEP_S)
        picture = drawn(
            dashboard(),
            lambda panel: lines(scraping.address, panel, span, window=f"{WINDOW_S}s"),
            span,
        )
    picture.save(FILE, optimize=True)


if __name__ == "__main__":
    main()
