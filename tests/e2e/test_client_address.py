"""Who an anonymous caller is, behind none, one and two trusted proxies."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.e2e.client import Reply
from tests.e2e.processes import eventually
from tests.e2e.stack import Stack, default_policy, running

LIMITS = "/api/v1/images/limits"
PEER = "127.0.0.1"


@dataclass(frozen=True)
class Proxied:
    """A stack, and how many proxies it is told to trust."""

    stack: Stack
    policy: Path


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """One stack: the number of trusted proxies is a part of the policy, and followed."""
    policy = tmp_path_factory.mktemp("address") / "policy.yaml"
    policy.write_text(trusting(0), "utf-8")
    with running(AUTHZ_POLICY_FILE=str(policy), API_KEYS="[]") as stack:
        yield Proxied(stack, policy)


CASES = {
    0: {"203.0.113.1": PEER, "203.0.113.1, 198.51.100.1": PEER, "2001:db8::1": PEER},
    1: {
        "203.0.113.1": "203.0.113.1",
        "203.0.113.1, 198.51.100.1": "198.51.100.1",
        "junk, 198.51.100.2": "198.51.100.2",
        "2001:db8:1:2::3": "2001:db8:1:2::/64",
        "2001:db8:1:2:ffff::": "2001:db8:1:2::/64",
    },
    2: {
        "203.0.113.1, 198.51.100.1": "203.0.113.1",
        "192.0.2.9, 203.0.113.1, 198.51.100.1": "203.0.113.1",
        "2001:db8:1:3::3, 198.51.100.1": "2001:db8:1:3::/64",
    },
}


@pytest.mark.parametrize("trusted_hops", CASES)
def test_the_address_is_the_one_a_trusted_proxy_saw(proxied: Proxied, trusted_hops: int) -> None:
    """Counted from the right by as many as are trusted; what a client wrote before it is not."""
    trust(proxied, trusted_hops)

    found = {forwarded: subject(proxied, forwarded) for forwarded in CASES[trusted_hops]}

    assert found == {sent: f"anon:{address}" for sent, address in CASES[trusted_hops].items()}


def test_callers_of_one_ipv6_network_share_their_limit(proxied: Proxied) -> None:
    """Any address of a /64 takes from the same count; the network beside it has its own."""
    trust(proxied, 1)

    shared = [ask(proxied, f"2001:db8:9:9:{number:x}::1") for number in range(3)]
    other = ask(proxied, "2001:db8:9:a::1")

    assert [reply.header("x-ratelimit-remaining") for reply in shared] == ["899", "898", "897"]
    assert other.header("x-ratelimit-remaining") == "899"


def trust(proxied: Proxied, hops: int) -> None:
    """Change the policy, and wait until Envoy goes by it."""
    temporary = proxied.policy.with_name("new")
    temporary.write_text(trusting(hops), "utf-8")
    temporary.replace(proxied.policy)
    expected = ("anon:127.0.0.1", "anon:192.0.2.3", "anon:192.0.2.2")[hops]
    eventually(lambda: subject(proxied, "192.0.2.1, 192.0.2.2, 192.0.2.3") == expected)


def trusting(hops: int) -> str:
    """The image service's policy behind so many proxies, with room for these requests."""
    rules = default_policy()
    rules["tiers"]["anonymous"] = {"rate": "900/minute", "max_upload": "64KiB"}
    return yaml.safe_dump(rules | {"trusted_hops": hops})


def ask(proxied: Proxied, forwarded: str) -> Reply:
    """An anonymous request that comes with a chain of addresses."""
    return proxied.stack.client.get(LIMITS, [("X-Forwarded-For", forwarded)])


def subject(proxied: Proxied, forwarded: str) -> str:
    """Who was counted, as the access line says."""
    request_id = ask(proxied, forwarded).header("x-request-id")
    line = eventually(lambda: access_line(proxied.stack, request_id))
    return next(word for word in line.split() if word.startswith("anon:"))


def access_line(stack: Stack, request_id: str) -> str | None:
    """The line of one request; it is printed a moment after the answer."""
    return next((line for line in stack.output if line.endswith(request_id)), None)
