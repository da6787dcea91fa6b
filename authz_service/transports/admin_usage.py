"""What callers have used, in the admin API: by subject, or by the key they come with."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, TypeVar

from authz_service.core.rules import Limit, Overrides, Policy, Tier
from authz_service.core.usage import all_limits, limits_of, limits_over_all, names_of
from authz_service.errors import StoreError
from authz_service.identity.key_admin import KeyAdmin
from authz_service.identity.key_fields import FieldProblem, KeyFieldsError
from authz_service.identity.key_store import StoredKey
from authz_service.identity.own_limits import overrides
from authz_service.storage.base import CounterStore
from authz_service.transports.admin_route import AdminRequest, AdminRoute, Reply, unavailable
from authz_service.usage import (
    OVER_ALL,
    SUBJECT_PREFIXES,
    Json,
    chosen_limits,
    is_subject,
    read_usage,
    reset_usage,
    usage_as_json,
)

_ACTOR: Final = "admin-api"

T = TypeVar("T")


def usage_routes(store: CounterStore, *, policy: Callable[[], Policy]) -> tuple[AdminRoute, ...]:
    """Every operation on the counters of a subject."""
    own = _UsageRoutes(store, policy)
    return (
        AdminRoute(method="GET", path="/v1/usage/{}", handle=own.show),
        AdminRoute(method="DELETE", path="/v1/usage/{}", handle=own.reset),
    )


def key_usage_routes(
    store: CounterStore, keys: KeyAdmin, *, policy: Callable[[], Policy]
) -> tuple[AdminRoute, ...]:
    """The same by the key that a subject comes with."""
    own = _KeyUsageRoutes(store, keys, policy)
    return (
        AdminRoute(method="GET", path="/v1/keys/{}/usage", handle=own.show),
        AdminRoute(method="DELETE", path="/v1/keys/{}/usage", handle=own.reset),
    )


class _Usage:
    """What both have in common."""

    def __init__(self, store: CounterStore, policy: Callable[[], Policy]) -> None:
        self._store = store
        self._policy = policy

    def _tier(self, name: str) -> Tier:
        tiers = self._policy().tiers
        if name not in tiers:
            raise KeyFieldsError([FieldProblem(("tier",), f"must be one of {', '.join(tiers)}")])
        return tiers[name]

    async def _shown(self, subject: str, tier: Tier, own: Overrides | None) -> Reply:
        left = await self._left(subject, limits_of(self._policy(), tier, own))
        return Reply(data={"subject": subject, "tier": tier.name, "limits": left})

    async def _left(self, subject: str, limits: tuple[Limit, ...]) -> list[Json]:
        readings = await _answered(read_usage(self._store, subject, limits))
        return [usage_as_json(it) for it in readings]

    async def _forgotten(self, subject: str, request: AdminRequest, own: Overrides | None) -> Reply:
        name = _query(request, "limit").get("limit")
        policy = self._policy()
        known = limits_over_all(policy) if subject == OVER_ALL else all_limits(policy, own)
        limits = _chosen(known, name)
        await _answered(reset_usage(self._store, subject, limits, actor=_ACTOR))
        return Reply(status=HTTPStatus.NO_CONTENT)


class _UsageRoutes(_Usage):
    """Requests to calls, and what they return to replies."""

    async def show(self, request: AdminRequest) -> Reply:
        (subject,) = request.names
        if subject == OVER_ALL:
            _query(request)
            limits = limits_over_all(self._policy())
            return Reply(data={"subject": subject, "limits": await self._left(subject, limits)})
        wanted = _query(request, "tier")
        tier = self._tier(wanted.get("tier", ""))
        _check_subject(subject)
        return await self._shown(subject, tier, None)

    async def reset(self, request: AdminRequest) -> Reply:
        (subject,) = request.names
        _check_subject(subject)
        return await self._forgotten(subject, request, None)


class _KeyUsageRoutes(_Usage):
    """The same of a key's subject, with the key's own tier and limits."""

    def __init__(self, store: CounterStore, keys: KeyAdmin, policy: Callable[[], Policy]) -> None:
        super().__init__(store, policy)
        self._keys = keys

    async def show(self, request: AdminRequest) -> Reply:
        key = await self._key(request)
        _query(request)
        return await self._shown(_subject(key), self._tier(key.tier), _own(key))

    async def reset(self, request: AdminRequest) -> Reply:
        key = await self._key(request)
        return await self._forgotten(_subject(key), request, _own(key))

    async def _key(self, request: AdminRequest) -> StoredKey:
        return (await self._keys.show(*request.names)).key


async def _answered(call: Awaitable[T]) -> T:
    try:
        return await call
    except StoreError:
        raise unavailable("The counter store does not answer.") from None


def _subject(key: StoredKey) -> str:
    return f"key:{key.subject}"


def _own(key: StoredKey) -> Overrides | None:
    return overrides(key.rate, key.quota)


def _check_subject(subject: str) -> None:
    if not is_subject(subject):
        prefixes = ", ".join(SUBJECT_PREFIXES)
        sentence = f"the subject must begin with one of {prefixes}, or be {OVER_ALL}"
        raise KeyFieldsError([FieldProblem((), sentence)])


def _query(request: AdminRequest, *known: str) -> dict[str, str]:
    given = dict(request.query)
    if len(given) < len(request.query) or not given.keys() <= set(known):
        names = " and ".join(known) or "nothing"
        raise KeyFieldsError([FieldProblem((), f"the query may have {names}, once each")])
    return given


def _chosen(known: tuple[Limit, ...], name: str | None) -> tuple[Limit, ...]:
    chosen = chosen_limits(known, name)
    if not chosen:
        names = ", ".join(names_of(known)) or "none"
        raise KeyFieldsError([FieldProblem(("limit",), f"must be one of {names}")])
    return chosen
