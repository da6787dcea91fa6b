"""The keys in the admin API: what the commands of `authz_service keys` do, over HTTP."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from authz_service.identity.key_admin import IssuedKey, KeyAdmin
from authz_service.identity.key_fields import FieldProblem, KeyFieldsError
from authz_service.identity.key_view import shown_key, shown_view
from authz_service.transports.admin_route import AdminRequest, AdminRoute, Reply, not_found

_DEFAULT_PAGE: Final = 100
_LARGEST_PAGE: Final = 1_000


def key_routes(keys: KeyAdmin, *, now_ms: Callable[[], int]) -> tuple[AdminRoute, ...]:
    """Every operation on keys."""
    own = _KeyRoutes(keys, now_ms)
    return (
        AdminRoute(method="GET", path="/v1/keys", handle=own.page),
        AdminRoute(method="POST", path="/v1/keys", handle=own.create, takes_body=True),
        AdminRoute(method="POST", path="/v1/keys/import", handle=own.take_over, takes_body=True),
        AdminRoute(method="GET", path="/v1/keys/{}", handle=own.show),
        AdminRoute(method="DELETE", path="/v1/keys/{}", handle=own.delete),
        AdminRoute(method="POST", path="/v1/keys/{}/disable", handle=own.disable),
        AdminRoute(method="POST", path="/v1/keys/{}/enable", handle=own.enable),
        AdminRoute(method="POST", path="/v1/keys/{}/reroll", handle=own.reroll, takes_body=True),
    )


def no_key_routes() -> tuple[AdminRoute, ...]:
    """What to say about keys where none can be managed."""

    async def tell(_request: AdminRequest) -> Reply:
        raise not_found("There is no key store: AUTHZ_KEYS_URL is not set.")

    paths = ("/v1/keys", "/v1/keys/{}", "/v1/keys/{}/{}")
    return tuple(
        AdminRoute(method=method, path=path, handle=tell)
        for path in paths
        for method in ("GET", "POST", "DELETE")
    )


class _KeyRoutes:
    """Requests to calls, and what they return to replies."""

    def __init__(self, keys: KeyAdmin, now_ms: Callable[[], int]) -> None:
        self._keys = keys
        self._now_ms = now_ms

    async def page(self, request: AdminRequest) -> Reply:
        after, limit = _wanted_page(request.query)
        page = await self._keys.page(after=after, limit=limit)
        now_ms = self._now_ms()
        shown = [shown_view(view, now_ms) for view in page.keys]
        following = page.keys[-1].key.id if page.more else None
        return Reply(data={"keys": shown, "next": following})

    async def create(self, request: AdminRequest) -> Reply:
        return self._issued(await self._keys.create(request.body))

    async def take_over(self, request: AdminRequest) -> Reply:
        imported = await self._keys.take_over(request.body)
        return Reply(
            data={
                "imported": [key.id for key in imported.new],
                "unchanged": [key.id for key in imported.unchanged],
            }
        )

    async def show(self, request: AdminRequest) -> Reply:
        view = await self._keys.show(*request.names)
        return Reply(data={"key": shown_view(view, self._now_ms())})

    async def delete(self, request: AdminRequest) -> Reply:
        await self._keys.delete(*request.names)
        return Reply(status=HTTPStatus.NO_CONTENT)

    async def disable(self, request: AdminRequest) -> Reply:
        key = await self._keys.disable(*request.names)
        return Reply(data={"key": shown_key(key, self._now_ms())})

    async def enable(self, request: AdminRequest) -> Reply:
        key = await self._keys.enable(*request.names)
        return Reply(data={"key": shown_key(key, self._now_ms())})

    async def reroll(self, request: AdminRequest) -> Reply:
        (key_id,) = request.names
        return self._issued(await self._keys.reroll(key_id, request.body))

    def _issued(self, issued: IssuedKey) -> Reply:
        now_ms = self._now_ms()
        data = {"key": shown_key(issued.key, now_ms), "secret": issued.secret}
        if issued.replaced is not None:
            data["replaced"] = shown_key(issued.replaced, now_ms)
        return Reply(
            status=HTTPStatus.CREATED,
            data=data,
            headers={"Location": f"/v1/keys/{quote(issued.key.id, safe='')}"},
        )


def _wanted_page(query: tuple[tuple[str, str], ...]) -> tuple[str, int]:
    """After which id, and how many."""
    given = dict(query)
    problems: list[FieldProblem] = []
    if len(given) < len(query) or not given.keys() <= {"after", "limit"}:
        problems.append(FieldProblem((), "the query may have after and limit, once each"))
    limit = given.get("limit", str(_DEFAULT_PAGE))
    is_number = limit.isascii() and limit.isdigit() and len(limit) <= len(str(_LARGEST_PAGE))
    if not is_number or not 1 <= int(limit) <= _LARGEST_PAGE:
        problems.append(FieldProblem(("limit",), f"must be 1 to {_LARGEST_PAGE}"))
    if problems:
        raise KeyFieldsError(problems)
    return given.get("after", ""), int(limit)
