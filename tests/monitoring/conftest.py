"""The SDK recommends its second dashboard form when imported; every Grafana reads the first."""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
    import monitoring.grafana.dashboard  # noqa: F401 - so that it is imported here, once
