"""Limits over all callers: which are asked for, what is charged, what is told."""

from collections.abc import Sequence

import pytest

from authz_service.core.descriptors import (
    Descriptor,
    DescriptorLimit,
    Entry,
    RateLimitRequest,
    RateLimitResponse,
    Status,
    Unit,
)
from authz_service.core.global_limits import DESCRIPTOR_KEY, DOMAIN
from authz_service.core.rules import Policy
from authz_service.errors import StoreError
from authz_service.limiter import SUBJECT, GlobalLimiter
from authz_service.observe.metrics import Metrics
from authz_service.storage.failover import FailoverStore
from authz_service.storage.memory import MemoryStore
from authz_service.storage.stand_in import StandIn
from authz_service.testing.builders import read_policy
from authz_service.testing.clock import ManualClock
from authz_service.testing.stores import Fault, FaultyStore

POLICY = """
version: 1
tiers:
  free: {max_upload: 5MB}
upstream: {address: "127.0.0.1:8080"}
routes:
  - name: both
    match: {method: GET, path: /both}
    global_limits: [{name: three, rate: 3/minute}, {name: two, rate: 2 per 90s}]
  - name: passing
    match: {method: GET, path: /passing}
    on_store_failure: allow
    global_limits: [{name: open, rate: 1/minute}, {name: shut, rate: 1/minute, on_store_failure: deny}]
"""  # noqa: E501


def rules(text: str = POLICY) -> Policy:
    """The policy of these tests."""
    return read_policy(text)


class Stack:
    """A limiter over a store that can fail."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.shared = FaultyStore(MemoryStore(self.clock))
        counter = FailoverStore(
            self.shared, stand_in=StandIn(self.clock), clock=self.clock, metrics=Metrics()
        )
        self.limiter = GlobalLimiter(rules(), counter)

    async def ask(
        self, *names: str, domain: str = DOMAIN, once: str | None = None
    ) -> RateLimitResponse:
        """One question about the limits of these names."""
        return await self.ask_about([Entry(DESCRIPTOR_KEY, name) for name in names], domain, once)

    async def ask_about(
        self, entries: Sequence[Entry], domain: str = DOMAIN, once: str | None = None
    ) -> RateLimitResponse:
        """One question, a descriptor for each entry."""
        descriptors = tuple(Descriptor(entries=(entry,)) for entry in entries)
        request = RateLimitRequest(domain=domain, descriptors=descriptors)
        return await self.limiter.should_rate_limit(request, request_id="", once=once)


async def test_every_limit_is_told_in_the_terms_of_the_protocol() -> None:
    """In the order of the descriptors; a window that is no unit is told in seconds."""
    assert (await Stack().ask("two", "three")).statuses == (
        Status(
            limit=DescriptorLimit(requests_per_unit=2, unit=Unit.SECOND, multiplier=90, name="two"),
            remaining=1,
            reset_ms=90_000,
        ),
        Status(
            limit=DescriptorLimit(requests_per_unit=3, unit=Unit.MINUTE, name="three"),
            remaining=2,
            reset_ms=60_000,
        ),
    )


async def test_all_limits_are_charged_or_none() -> None:
    """The third question is refused by one limit, and the other does not count it."""
    stack = Stack()
    assert [(await stack.ask("three", "two")).over for _ in range(3)] == [False, False, True]
    refused = await stack.ask("three", "two")
    assert [status.over for status in refused.statuses] == [False, True]
    assert refused.retry_after_ms == 90_000
    assert (await stack.ask("three")).statuses[0].remaining == 0


async def test_a_limit_counts_whoever_asks_under_one_name() -> None:
    """Over all callers, and apart from every caller's own counters."""
    stack = Stack()
    await stack.ask("two")
    charge = stack.limiter._charges["two"]
    assert (await stack.shared.peek(SUBJECT, (charge,))).readings[0].remaining == 1


async def test_a_limit_named_twice_is_charged_once() -> None:
    """One question takes one place of a limit."""
    answer = await Stack().ask("three", "three")
    assert [status.remaining for status in answer.statuses] == [2, 2]


async def test_a_question_that_is_sent_again_is_counted_once() -> None:
    """Envoy sends it to another worker when one dies."""
    stack = Stack()
    for _ in range(5):
        assert (await stack.ask("two", once="1")).statuses[0].remaining == 1
    assert (await stack.ask("two", once="2")).statuses[0].remaining == 0


@pytest.mark.parametrize(
    "entry", [Entry(DESCRIPTOR_KEY, "gone"), Entry("other", "two"), Entry(DESCRIPTOR_KEY, "")]
)
async def test_what_the_policy_does_not_know_limits_nothing(entry: Entry) -> None:
    """As after a reload that Envoy has not followed yet; the others are charged all the same."""
    stack = Stack()
    assert await stack.ask_about([entry]) == RateLimitResponse(over=False, statuses=(Status(),))
    both = await stack.ask_about([entry, Entry(DESCRIPTOR_KEY, "two")])
    assert [status.remaining for status in both.statuses] == [0, 1]


async def test_a_descriptor_of_several_parts_is_none_of_ours() -> None:
    """Envoy sends one part for each limit."""
    entries = (Entry(DESCRIPTOR_KEY, "two"), Entry(DESCRIPTOR_KEY, "three"))
    request = RateLimitRequest(domain=DOMAIN, descriptors=(Descriptor(entries=entries),))
    stack = Stack()
    answer = await stack.limiter.should_rate_limit(request, request_id="", once=None)
    assert answer.statuses == (Status(),)


async def test_another_policy_is_in_force_from_the_next_question_on() -> None:
    """What was counted under a name goes on counting."""
    stack = Stack()
    await stack.ask("two")
    stack.limiter.use(rules(POLICY.replace("2 per 90s", "9 per 90s")))
    assert (await stack.ask("two")).statuses[0].remaining == 7


async def test_while_the_store_is_away_each_limit_has_its_way() -> None:
    """Counted here, let through, or no answer, which Envoy takes for a 503."""
    stack = Stack()
    stack.shared.fault = Fault.FAILING
    assert [(await stack.ask("two")).over for _ in range(3)] == [False, False, True]
    assert [(await stack.ask("open")).over for _ in range(3)] == [False, False, False]
    assert (await stack.ask("open")).statuses == (Status(),)
    with pytest.raises(StoreError):
        await stack.ask("shut")
