"""The gate for logins, and the events of hosts."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from pywire.cluster.state import ClusterState
from pywire.cluster.topology import Unreachable
from pywire.config import Address, ClusterConfig, HostConfig
from pywire.errors import NoPrimary
from pywire.session.host import Host, HostAddress

from .test_topology import report, standby


def make(wait_seconds_max=30.0):
    config = ClusterConfig(
        name="main",
        hosts=tuple(HostConfig(name=name, address=Address("127.0.0.1", 15432)) for name in "ab"),
    )
    hosts = {name: Host("main", name, HostAddress("127.0.0.1", 15432)) for name in "ab"}
    events = []
    return ClusterState(config, hosts, events.append, wait_seconds_max=wait_seconds_max), events


def primary(host="a"):
    return report(host, in_recovery=False, standbys=(standby("b"),))


async def test_a_login_goes_to_the_primary_at_once():
    cluster, _ = make()
    cluster.note(primary())
    assert (await cluster.route()).name == "a"


async def test_a_login_waits_for_a_primary_and_not_for_ever(autojump_clock):
    cluster, _ = make(wait_seconds_max=5.0)
    with pytest.raises(NoPrimary):
        await cluster.route()
    assert trio.current_time() == 5.0
    assert cluster.logins_waiting == 0


async def test_a_closed_gate_wears_no_patience_out(autojump_clock):
    cluster, _ = make(wait_seconds_max=5.0)
    cluster.note(primary())
    routed = []

    async def log_in():
        routed.append((await cluster.route()).name)

    async with trio.open_nursery() as nursery:
        with cluster.closed_for("a test"):
            nursery.start_soon(log_in)
            await wait_all_tasks_blocked()
            assert cluster.logins_waiting == 1
            cluster.note(report("a", in_recovery=True))
            cluster.note(report("b", in_recovery=False))
    assert routed == ["b"]


async def test_events_say_what_is_news_and_nothing_else():
    cluster, events = make()
    cluster.note(primary())
    cluster.note(primary())
    cluster.note(Unreachable(host="a", reason="x"))
    cluster.note(Unreachable(host="a", reason="y"))
    cluster.note(report("a", in_recovery=True))
    assert [event.name() for event in events] == ["host_found", "host_lost", "host_found"]
    assert events[-1].role == "standby"


async def test_only_one_may_change_the_primary():
    cluster, _ = make()
    async with cluster.exclusively() as first, cluster.exclusively() as second:
        assert first
        assert not second
    async with cluster.exclusively() as third:
        assert third
