"""ShouldRateLimit over descriptor files, from the question to the answer and the metrics."""

from dataclasses import astuple
from typing import TYPE_CHECKING

import pytest

from authz_service.core.descriptor_answer import AnswerOptions, HeaderNames
from authz_service.core.descriptors import RateLimitRequest, RateLimitResponse, Status
from authz_service.descriptor_limiter import DescriptorLimiter
from authz_service.errors import StoreError, UnanswerableError
from authz_service.observe.metrics import Metrics
from authz_service.storage.failover import FailoverStore
from authz_service.storage.memory import MemoryStore
from authz_service.storage.stand_in import StandIn
from authz_service.testing.clock import ManualClock
from authz_service.testing.descriptors import asking, descriptor, read_descriptors
from authz_service.testing.stores import Fault, FaultyStore

if TYPE_CHECKING:
    from authz_service.core.descriptor_metrics import Increments

FILE = """
domain: shop
descriptors:
  - {key: two, rate_limit: {unit: minute, requests_per_unit: 2}}
  - {key: five, rate_limit: {unit: minute, requests_per_unit: 5}}
  - {key: clock, rate_limit: {unit: minute, requests_per_unit: 2, algorithm: fixed}}
  - {key: shadow, shadow_mode: true, rate_limit: {unit: minute, requests_per_unit: 1}}
  - {key: quota, quota_mode: true, rate_limit: {unit: minute, requests_per_unit: 1}}
  - {key: banned, rate_limit: {unit: minute}}
  - {key: free, rate_limit: {unlimited: true}}
"""


AWAY = """
domain: shop
descriptors:
  - {key: local, rate_limit: {unit: minute, requests_per_unit: 1}}
  - {key: allow, rate_limit: {unit: minute, requests_per_unit: 1, on_store_failure: allow}}
  - {key: deny, rate_limit: {unit: minute, requests_per_unit: 1, on_store_failure: deny}}
"""


class Stack:
    """A limiter over a store that can fail, and what it told of hits."""

    def __init__(self, text: str | None = FILE, options: AnswerOptions | None = None) -> None:
        self.clock = ManualClock(1_906_761_610_000)  # ten seconds into a minute
        self.shared = FaultyStore(MemoryStore(self.clock))
        self.told: list[tuple[str, str, Increments]] = []
        self.unknown: list[str] = []
        counter = FailoverStore(
            self.shared, stand_in=StandIn(self.clock), clock=self.clock, metrics=Metrics()
        )
        self.forget = counter.forget_denials
        self.limiter = DescriptorLimiter(
            read_descriptors(text) if text else None,
            counter,
            options=options or AnswerOptions(),
            near_ratio=0.8,
            told=lambda domain, rule, increments: self.told.append((domain, rule, increments)),
            domain_unknown=self.unknown.append,
        )

    async def ask(self, *keys: str, value: str = "x") -> RateLimitResponse:
        """One question with a descriptor for each key."""
        return await self.send(asking(*(descriptor((key, value)) for key in keys)))

    async def send(
        self, request: RateLimitRequest, *, once: str | None = None
    ) -> RateLimitResponse:
        """One question."""
        return await self.limiter.should_rate_limit(request, request_id="", once=once)

    def totals(self) -> tuple[int, ...]:
        """What the hits told of add up to: all, within, near, over, shadow."""
        return tuple(map(sum, zip(*(astuple(it) for _, _, it in self.told), strict=True)))


def left(answer: RateLimitResponse) -> list[tuple[bool, int]]:
    """Each descriptor: over, and what remains."""
    return [(status.over, status.remaining) for status in answer.statuses]


async def test_all_exact_limits_are_charged_or_none() -> None:
    """The third question is refused by one limit, and the other goes on where it was."""
    stack = Stack()
    answers = [await stack.ask("two", "five") for _ in range(3)]
    assert [left(it) for it in answers] == [
        [(False, 1), (False, 4)],
        [(False, 0), (False, 3)],
        [(True, 0), (False, 3)],
    ]
    assert answers[2].over
    assert answers[2].retry_after_ms == 60_000


async def test_a_fixed_limit_counts_by_the_clock_and_what_it_refuses() -> None:
    """Ten seconds into the minute, fifty are left of it, whatever came when."""
    stack = Stack()
    answers = [await stack.ask("clock") for _ in range(4)]
    assert [it.over for it in answers] == [False, False, True, True]
    assert [it.statuses[0].reset_ms for it in answers] == [50_000] * 4
    stack.clock.advance(50_000)
    assert not (await stack.ask("clock")).over


async def test_every_value_has_a_counter_of_its_own() -> None:
    """Without a value in the file, too."""
    stack = Stack()
    for value in ("a", "b"):
        assert [(await stack.ask("two", value=value)).over for _ in range(3)] == [
            False,
            False,
            True,
        ]


async def test_a_limit_in_shadow_refuses_nobody_and_hinders_no_other() -> None:
    """It is over from the second question on, which the other limit does not notice."""
    stack = Stack()
    answers = [await stack.ask("shadow", "five") for _ in range(3)]
    assert [it.over for it in answers] == [False] * 3
    assert [left(it)[1] for it in answers] == [(False, 4), (False, 3), (False, 2)]
    assert stack.totals()[4] == 2


async def test_quotas_refuse_all_together() -> None:
    """One that is over beside one that is not lets the request pass."""
    stack = Stack(
        FILE
        + "  - {key: more, quota_mode: true, rate_limit: {unit: minute, requests_per_unit: 2}}\n"
    )
    answers = [await stack.ask("quota", "more") for _ in range(3)]
    assert [it.over for it in answers] == [False, False, True]
    assert left(answers[1]) == [(True, 0), (False, 0)]


async def test_a_ban_and_a_free_pass_need_no_counter() -> None:
    """A limit of nothing refuses; what is unlimited says so."""
    stack = Stack()
    assert (await stack.ask("banned")).over
    assert (await stack.ask("free")).statuses == (Status(remaining=4_294_967_295),)
    assert (await stack.ask("unknown")).statuses == (Status(),)


async def test_metrics_tell_each_rule_what_became_of_its_hits() -> None:
    """Five within, of which the last is near, and one over."""
    stack = Stack()
    for _ in range(6):
        await stack.ask("five")
    assert {(domain, rule) for domain, rule, _ in stack.told} == {("shop", "shop.five")}
    assert stack.totals() == (6, 5, 1, 1, 0)


async def test_a_domain_that_no_file_has_is_told_of() -> None:
    """Nothing limits there, which nobody would notice; a descriptor without a limit is no news."""
    stack = Stack()
    await stack.ask("two", "unknown")
    answer = await stack.send(asking(descriptor(("two", "x")), domain="shopp"))
    assert answer == RateLimitResponse(over=False, statuses=(Status(),))
    assert stack.unknown == ["shopp"]


async def test_metrics_of_a_fixed_limit_are_those_of_the_original() -> None:
    """Two within, of which one is near, then two over."""
    stack = Stack()
    for _ in range(4):
        await stack.ask("clock")
    assert stack.totals() == (4, 2, 1, 2, 0)


async def test_options_show_in_the_answer() -> None:
    """Headers under the names that were asked for, metadata, and a switch that lets all pass."""
    names = HeaderNames(limit="L", remaining="R", reset="S")
    stack = Stack(options=AnswerOptions(shadow=True, header_names=names, metadata=True))
    answers = [await stack.ask("two") for _ in range(3)]
    assert [it.over for it in answers] == [False] * 3
    assert [it.in_shadow for it in answers] == [False, False, True]
    assert answers[2].headers == (("L", "2"), ("R", "0"), ("S", "60"))
    assert answers[2].metadata == {"domain": "shop", "descriptors": [{"entries": ["two=x"]}]}


@pytest.mark.parametrize(
    ("text", "request_", "words"),
    [
        (None, asking(descriptor(("two", "x"))), "no rate limit configuration loaded"),
        (FILE, asking(), "rate limit descriptor list must not be empty"),
        (FILE, asking(descriptor(("two", "x")), domain=""), "rate limit domain must not be empty"),
    ],
)
async def test_a_question_without_an_answer_has_the_words_of_the_original(
    text: str | None, request_: RateLimitRequest, words: str
) -> None:
    """Teams watch for them."""
    with pytest.raises(UnanswerableError) as raised:
        await Stack(text).send(request_)
    assert str(raised.value) == words


async def test_other_rules_are_in_force_from_the_next_question_on() -> None:
    """What was counted goes on counting."""
    stack = Stack()
    await stack.ask("two")
    stack.limiter.use(
        read_descriptors(FILE.replace("requests_per_unit: 2}", "requests_per_unit: 9}"))
    )
    assert left(await stack.ask("two")) == [(False, 7)]


async def test_while_the_store_is_away_each_limit_has_its_way() -> None:
    """One is counted here, one is left out, and one has no answer, which Envoy judges."""
    stack = Stack(AWAY)
    stack.shared.fault = Fault.FAILING
    answers = [await stack.ask("local", "allow") for _ in range(2)]
    assert [left(it) for it in answers] == [
        [(False, 0), (False, 0)],
        [(True, 0), (False, 0)],
    ]
    assert answers[0].statuses[1] == Status()
    with pytest.raises(StoreError):
        await stack.ask("local", "deny")


async def test_while_the_store_is_away_the_same_limits_are_counted_here() -> None:
    """Exact and by the clock; nothing is an error."""
    stack = Stack()
    stack.shared.fault = Fault.FAILING
    assert [(await stack.ask("two", "clock")).over for _ in range(3)] == [False, False, True]


async def test_where_nothing_refuses_an_absent_store_does_not_either() -> None:
    """The switch holds for limits that are denied then."""
    stack = Stack(AWAY, AnswerOptions(shadow=True))
    stack.shared.fault = Fault.FAILING
    assert [(await stack.ask("deny")).over for _ in range(3)] == [False] * 3


@pytest.mark.parametrize("all_quota", [False, True])
async def test_a_quota_that_is_left_out_keeps_the_others_from_refusing(all_quota: bool) -> None:  # noqa: FBT001
    """It is never over, so not all of them are; and what passes is counted."""
    text = AWAY if all_quota else AWAY.replace("{key: ", "{quota_mode: true, key: ")
    stack = Stack(text, AnswerOptions(quota=all_quota))
    stack.shared.fault = Fault.FAILING
    answers = [await stack.ask("local", "allow") for _ in range(2)]
    assert [it.over for it in answers] == [False, False]
    assert left(answers[1]) == [(True, 0), (False, 0)]


async def test_what_is_told_from_memory_is_measured_as_if_the_store_had_been_asked() -> None:
    """Those over, those in shadow, and those that another limit kept from being counted."""
    stacks = Stack(), Stack()
    for _ in range(5):
        for stack in stacks:
            await stack.ask("two", "shadow", "five")
        stacks[1].forget()
    assert stacks[0].shared.calls == 3
    assert stacks[1].shared.calls == 5
    assert stacks[0].told == stacks[1].told


async def test_a_question_that_is_sent_again_is_counted_once() -> None:
    """Under one id, within two seconds; the answer is the first one's."""
    stack = Stack()
    question = asking(descriptor(("two", "x")), descriptor(("clock", "x")))
    answers = [await stack.send(question, once="1") for _ in range(3)]
    assert answers == [answers[0]] * 3
    assert left(await stack.send(question, once="2")) == [(False, 0), (False, 0)]
