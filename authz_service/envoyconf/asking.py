"""How Envoy puts a question to the workers: for how long, and when to another one."""

from authz_service.envoyconf.model import AUTHZ_CLUSTER, Json, Object, duration, extension

TIMEOUT_MS = 250
"""How long an answer may take, all tries together."""


def grpc_service(**fields: Json) -> Object:
    """The workers as a gRPC service."""
    return {
        "envoy_grpc": {"cluster_name": AUTHZ_CLUSTER},
        "timeout": duration(TIMEOUT_MS),  # "0s" would mean for ever
        "retry_policy": {
            # Also when a worker died over a question that it may have charged: the second one has
            # the same id of Envoy's own, under which nothing is charged twice.
            "retry_on": "connect-failure,refused-stream,reset,unavailable",
            "num_retries": 3,
            # Envoy takes max_interval for the time limit of one try. A shorter one would send a
            # slow question again and again, to workers that have enough to do.
            "retry_back_off": {
                "base_interval": duration(5),
                "max_interval": duration(TIMEOUT_MS),
            },
            "retry_host_predicate": [
                extension(
                    "envoy.retry_host_predicates.previous_hosts",
                    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                )
            ],
            # The dead worker has the fewest calls in flight and is drawn three times in four while
            # there are two: after 20 draws it is not drawn once more but once in 400 retries.
            "host_selection_retry_max_attempts": 20,
        },
        **fields,
    }
