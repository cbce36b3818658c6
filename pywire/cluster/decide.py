"""Whether the primary may be changed to a host now, decided from a topology and nothing else.

Pure: no waiting, no asking, no acting. An empty list of refusals is a yes for the moment of the reports only;
`switchover` verifies again what can still change.
"""

from __future__ import annotations

from dataclasses import dataclass

from pywire.cluster.topology import Report, Topology

__all__ = ["Refusal", "SwitchoverLimits", "switchover_refusals"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchoverLimits:
    """How far behind a standby may be and still be chosen."""

    lag_bytes_max: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, in one sentence."""

    code: str
    text: str


def switchover_refusals(
    topology: Topology,
    target: str,
    *,
    controlled: frozenset[str],
    limits: SwitchoverLimits,
) -> list[Refusal]:
    """Every reason against making `target` the primary now; `controlled` hosts are those pywire may stop and start."""
    if target not in {report.host for report in topology.reports}:
        return [Refusal("unknown_host", f"There is no host {target} in this cluster.")]
    if topology.primary == target:
        return [Refusal("already_primary", f"Host {target} is the primary already.")]
    refusals = [Refusal(problem.code, problem.text) for problem in topology.problems]
    for host in (topology.primary, target):
        if host is not None and host not in controlled:
            text = f"Host {host} has no data_directory and bin_directory, so pywire does not control its server."
            refusals.append(Refusal("not_controlled", text))
    report = topology.report(target)
    if report is None:
        refusals.append(Refusal("target_lost", f"Host {target} does not answer."))
        return refusals
    return refusals + _target_refusals(topology, report, limits)


def _target_refusals(topology: Topology, target: Report, limits: SwitchoverLimits) -> list[Refusal]:
    name = target.host
    if not target.in_recovery:
        return [Refusal("target_not_standby", f"Host {name} is not a standby.")]
    refusals = []
    if target.replay_paused:
        refusals.append(Refusal("replay_paused", f"WAL replay is paused on {name}."))
    if target.receiver_status != "streaming":
        status = target.receiver_status or "not running"
        refusals.append(Refusal("target_not_streaming", f"The WAL receiver of {name} is {status}."))
    standby = topology.standby_of_primary(name)
    if topology.primary is not None and standby is None:
        text = f"The primary {topology.primary} has no standby with application_name {name}."
        refusals.append(Refusal("target_unknown_to_primary", text))
    elif standby is not None and standby.state != "streaming":
        text = f"The primary {topology.primary} says {name} is in state {standby.state}."
        refusals.append(Refusal("target_not_streaming", text))
    lag = topology.lag_bytes(name)
    if lag is not None and lag > limits.lag_bytes_max:
        text = f"Host {name} is {lag} bytes behind, more than {limits.lag_bytes_max}."
        refusals.append(Refusal("target_lags", text))
    return refusals
