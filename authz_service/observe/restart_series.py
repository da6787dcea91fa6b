"""How often the supervisor had to start a worker anew."""

from authz_service.observe.reasons import Reasons
from authz_service.supervise.workers import Cause


def worker_restarts() -> Reasons[Cause]:
    """Workers started anew, by why."""
    return Reasons(
        "authz_worker_restarts_total", "Workers started anew after one died or hung.", Cause
    )
