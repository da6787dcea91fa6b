"""What is right in a policy and still not what its author may expect."""

from authz_service.core.rules import Policy


def warnings(policy: Policy) -> tuple[str, ...]:
    """One sentence for each, without a line: it stands in a policy that is accepted."""
    return tuple(
        f"route {route.name}: its global_limits are not looked at while it is in shadow"
        for route in policy.routes
        if route.global_limits and route.shadow
    )
