"""Who is primary, and what is wrong with a cluster."""

from pywire.cluster.topology import Report, ReportedStandby, Topology, Unreachable
from pywire.lsn import Lsn


def report(host, *, in_recovery, **more):
    defaults = {
        "system_identifier": 1,
        "server_version_num": 180006,
        "timeline": 1,
        "started_at": "then",
        "insert_lsn": None if in_recovery else Lsn(1000),
        "replay_lsn": Lsn(900) if in_recovery else None,
        "receiver_status": "streaming" if in_recovery else None,
    }
    return Report(host=host, in_recovery=in_recovery, **{**defaults, **more})


def standby(name, state="streaming"):
    return ReportedStandby(
        application_name=name, state=state, sync_state="async", replay_lsn=Lsn(1)
    )


def test_one_primary_and_its_standby():
    topology = Topology.of(
        [report("a", in_recovery=False, standbys=(standby("b"),)), report("b", in_recovery=True)]
    )
    assert topology.primary == "a"
    assert topology.standbys == ("b",)
    assert topology.problems == ()
    assert topology.lag_bytes("b") == 100
    assert topology.role("a") == "primary"
    assert topology.standby_of_primary("b") is not None
    assert topology.standby_of_primary("a") is None


def test_two_primaries_are_none():
    topology = Topology.of([report("a", in_recovery=False), report("b", in_recovery=False)])
    assert topology.primary is None
    assert [problem.code for problem in topology.problems] == ["several_primaries"]
    assert topology.role("a") == topology.role("b") == "primary"


def test_no_primary_is_a_problem_and_a_lost_host_is_named():
    topology = Topology.of([Unreachable(host="a", reason="gone"), report("b", in_recovery=True)])
    assert topology.primary is None
    assert topology.lost == ("a",)
    assert topology.role("a") == "lost"
    assert [problem.code for problem in topology.problems] == ["no_primary"]
    assert topology.lag_bytes("b") is None


def test_strangers_are_noticed():
    topology = Topology.of(
        [
            report("a", in_recovery=False),
            report("b", in_recovery=True, system_identifier=2, server_version_num=150000),
        ]
    )
    assert {problem.code for problem in topology.problems} == {
        "system_identifiers_differ",
        "server_versions_differ",
    }


def test_a_standby_ahead_of_an_old_report_is_not_behind():
    topology = Topology.of(
        [report("a", in_recovery=False), report("b", in_recovery=True, replay_lsn=Lsn(2000))]
    )
    assert topology.lag_bytes("b") == 0
