"""A server of a cluster, or of a Sentinel set-up, is killed while clients go on: what they see."""

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from authz_service.core.counter_key import counter_key
from authz_service.core.rules import Rate, StoreFailure
from tests.e2e.guarded import guarded, steady_key, subject_of
from tests.e2e.outage import Outage, is_shared, suffer
from tests.servers.cluster import ClusterServers
from tests.servers.sentinels import SentinelServers

LOCAL, ALLOW, DENY = StoreFailure.LOCAL, StoreFailure.ALLOW, StoreFailure.DENY
# After the replica has taken its place: a probe a second, and time to learn of it.
SHARED_AGAIN_WITHIN_S = 4.0
# A node of a cluster that nobody asks for any more is forgotten after three seconds.
TOLD_WITHIN_S = 7.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the processes in /proc"),
]


def test_clients_see_nothing_of_a_failover_in_a_cluster(cluster: ClusterServers) -> None:
    """The primary that counts for a client is killed: its replica goes on counting."""
    some_limit = Rate(name="steady", limit=1, window_ms=1)
    counter = counter_key(subject_of(steady_key(LOCAL)), some_limit)
    victim = cluster.primary_of(counter.decode())
    assert_nothing_is_lost(cluster.url, "cluster", victim, cluster.kill, cluster.promoted)


def test_clients_see_nothing_of_a_failover_by_sentinels(sentinels: SentinelServers) -> None:
    """The primary is killed: clients are answered, and counted by the server in its place."""
    victim = sentinels.primary()
    assert_nothing_is_lost(sentinels.url, "sentinel", victim, sentinels.kill, sentinels.promoted)


def assert_nothing_is_lost(
    url: str,
    name: str,
    victim: int,
    kill: Callable[[int], None],
    replaced: Callable[[int], object],
) -> None:
    """Kill a primary under traffic, and hold what clients saw against what is promised."""
    with guarded(url) as stack:
        seen = suffer(
            stack,
            strike=partial(kill, victim),
            end=lambda: replaced(victim),
            hammered=0,
            away_s=0.0,
        )
    told(name, seen)
    assert {sample.outcome for sample in seen.steady[LOCAL]} == {"200"}
    assert {sample.outcome for sample in seen.steady[ALLOW]} == {"200"}
    assert {sample.outcome for sample in seen.steady[DENY]} <= {"200", "503"}
    assert {sample.outcome for sample in seen.hammered} == {"200", "429"}
    assert not any(is_shared(sample, LOCAL) for sample in seen.while_degraded(LOCAL))
    assert seen.while_degraded(LOCAL), "the primary was of no use to this client"
    assert seen.shared_again_s < SHARED_AGAIN_WITHIN_S
    assert seen.restored_s - seen.ended_s < TOLD_WITHIN_S


def told(name: str, seen: Outage) -> None:
    """Show the figures to whoever runs this with `-s`."""
    during = {mode.value: Counter(it.outcome for it in seen.during(mode)) for mode in StoreFailure}
    longest_s = max(sample.took_s for mode in StoreFailure for sample in seen.steady[mode])
    sys.stdout.write(
        f"\n{name}: replaced after {seen.ended_s - seen.struck_s:.2f} s,"
        f" shared again {seen.shared_again_s:.2f} s later,"
        f" told {seen.restored_s - seen.ended_s:.2f} s later;"
        f" longest {1000 * longest_s:.1f} ms; {during}\n"
    )
