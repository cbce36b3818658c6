"""May the primary be changed, and if not, why not."""

import pytest

from pywire.cluster.decide import SwitchoverLimits, switchover_refusals
from pywire.cluster.topology import Topology, Unreachable
from pywire.lsn import Lsn

from .test_topology import report, standby

BOTH = frozenset({"a", "b"})


def refusals(topology, target="b", *, controlled=BOTH, lag_bytes_max=1000):
    limits = SwitchoverLimits(lag_bytes_max=lag_bytes_max)
    return {
        refusal.code
        for refusal in switchover_refusals(topology, target, controlled=controlled, limits=limits)
    }


def pair(*, of_b=None, seen=("b",), state="streaming"):
    primary = report("a", in_recovery=False, standbys=tuple(standby(name, state) for name in seen))
    return Topology.of([primary, report("b", in_recovery=True, **(of_b or {}))])


def test_a_streaming_standby_close_behind_may():
    assert refusals(pair()) == set()


@pytest.mark.parametrize(
    ("topology", "target", "code"),
    [
        (pair(), "a", "already_primary"),
        (pair(), "c", "unknown_host"),
        (pair(of_b={"replay_paused": True}), "b", "replay_paused"),
        (pair(of_b={"receiver_status": None}), "b", "target_not_streaming"),
        (pair(of_b={"replay_lsn": Lsn(0)}), "b", "target_lags"),
        (pair(seen=()), "b", "target_unknown_to_primary"),
        (pair(state="catchup"), "b", "target_not_streaming"),
        (pair(of_b={"system_identifier": 7}), "b", "system_identifiers_differ"),
    ],
)
def test_each_reason_is_found(topology, target, code):
    assert code in refusals(topology, target, lag_bytes_max=500)


def test_a_host_that_pywire_does_not_control_cannot_take_part():
    assert refusals(pair(), controlled=frozenset({"b"})) == {"not_controlled"}


def test_a_target_that_does_not_answer():
    topology = Topology.of([report("a", in_recovery=False), Unreachable(host="b", reason="gone")])
    assert refusals(topology) == {"target_lost"}
