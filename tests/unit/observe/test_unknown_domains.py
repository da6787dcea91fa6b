"""Questions for a domain that no file has: all of them counted, few of them named."""

from structlog.testing import capture_logs

from authz_service.observe.unknown_domains import UnknownDomains
from authz_service.testing.clock import ManualClock


class Stack:
    """What is told, and how often it was counted."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.counted: list[None] = []
        self.domains = UnknownDomains(self.clock, counted=lambda: self.counted.append(None))

    def named(self, *domains: str) -> list[str]:
        """The domains that the log names when these are asked for."""
        with capture_logs() as logs:
            for domain in domains:
                self.domains.asked_for(domain)
        assert {line["log_level"] for line in logs} <= {"warning"}
        return [line["domain"] for line in logs]


def test_every_question_counts_and_one_a_minute_is_named() -> None:
    """Whoever asks cannot fill the log, however many names he makes up."""
    stack = Stack()
    assert stack.named("shopp", "shopp", "other") == ["shopp"]
    stack.clock.advance(59_999)
    assert stack.named("other") == []
    stack.clock.advance(1)
    assert stack.named("other", "shopp") == ["other"]
    assert len(stack.counted) == 6


def test_a_clock_that_is_set_back_silences_nothing() -> None:
    """A minute is a minute that has passed."""
    stack = Stack()
    stack.named("shopp")
    stack.clock.step_back(3_600_000)
    stack.clock.advance(60_000)
    assert stack.named("shopp") == ["shopp"]


def test_a_name_in_the_log_is_cut() -> None:
    """Names are as long as whoever asks likes."""
    assert [len(name) for name in Stack().named("x" * 60_000)] == [200]
