"""The rules of descriptor files, in the admin API."""

from collections.abc import Callable

from authz_service.core.descriptor_rules import DescriptorRules
from authz_service.descriptors.dump import dump
from authz_service.transports.admin_route import AdminRequest, AdminRoute, Reply, not_found


def rate_limit_routes(rules: Callable[[], DescriptorRules | None]) -> tuple[AdminRoute, ...]:
    """What there is to know of the rules in force."""

    async def show(_request: AdminRequest) -> Reply:
        found = rules()
        if found is None:
            raise not_found("There are no rate limit files.")
        return Reply(data=dump(found), headers={"ETag": f'"{found.digest}"'})

    return (AdminRoute(method="GET", path="/v1/ratelimit/rules", handle=show),)
