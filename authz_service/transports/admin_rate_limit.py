"""The rules of descriptor files, in the admin API."""

from collections.abc import Callable
from typing import Final

from authz_service.core.descriptor_rules import DescriptorRules
from authz_service.descriptors.dump import dump
from authz_service.transports.admin_route import AdminRequest, AdminRoute, Reply, not_found

_STATE: Final = "X-Newest-Files"


def rate_limit_routes(
    rules: Callable[[], DescriptorRules | None], is_newest: Callable[[], bool]
) -> tuple[AdminRoute, ...]:
    """What there is to know of the rules in force, and whether the newest files say the same."""

    async def show(_request: AdminRequest) -> Reply:
        found = rules()
        if found is None:
            raise not_found("There are no rate limit files.")
        state = "in force" if is_newest() else "refused"
        return Reply(data=dump(found), headers={"ETag": f'"{found.digest}"', _STATE: state})

    return (AdminRoute(method="GET", path="/v1/ratelimit/rules", handle=show),)
