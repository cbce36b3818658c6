"""What the hosts of a cluster are to each other, concluded from what each said of itself.

Pure: `Topology.of` takes the latest report per host and returns a picture with the problems spelled out. It
never asks a host anything and never decides what to do about a problem; `decide` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pywire.lsn import Lsn

__all__ = ["Problem", "Report", "ReportedStandby", "Topology", "Unreachable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedStandby:
    """One row of the primary's pg_stat_replication."""

    application_name: str
    state: str
    sync_state: str
    replay_lsn: Lsn | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a host said of itself at one moment."""

    host: str
    in_recovery: bool
    system_identifier: int
    server_version_num: int
    timeline: int | None
    started_at: str
    insert_lsn: Lsn | None = None
    receive_lsn: Lsn | None = None
    replay_lsn: Lsn | None = None
    replay_paused: bool = False
    receiver_status: str | None = None
    sender: str | None = None
    synchronous_standby_names: str = ""
    standbys: tuple[ReportedStandby, ...] = ()
    backends: int = 0
    connections_max: int = 0

    @property
    def position(self) -> Lsn | None:
        """How far this host's data reaches: written there if primary, replayed there if standby."""
        return self.replay_lsn if self.in_recovery else self.insert_lsn


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """A host that did not answer, and why; the text is the last error, never a secret."""

    host: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with the cluster as a whole, in a sentence that names the hosts."""

    code: str
    hosts: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The cluster as known now. `primary` is None unless exactly one host says it is."""

    primary: str | None
    standbys: tuple[str, ...]
    lost: tuple[str, ...]
    problems: tuple[Problem, ...]
    reports: tuple[Report | Unreachable, ...]

    @classmethod
    def of(cls, reports: Iterable[Report | Unreachable]) -> Topology:
        """Conclude the topology from one report per host, in the order of the configuration."""
        known = tuple(reports)
        alive = [report for report in known if isinstance(report, Report)]
        primaries = [report for report in alive if not report.in_recovery]
        problems = [
            problem
            for problem in (_primaries(primaries, alive), _identifiers(alive), _versions(alive))
            if problem is not None
        ]
        return cls(
            primary=primaries[0].host if len(primaries) == 1 else None,
            standbys=tuple(report.host for report in alive if report.in_recovery),
            lost=tuple(report.host for report in known if isinstance(report, Unreachable)),
            problems=tuple(problems),
            reports=known,
        )

    def report(self, host: str) -> Report | None:
        """The report of a host that answered, or None."""
        for report in self.reports:
            if report.host == host and isinstance(report, Report):
                return report
        return None

    def standby_of_primary(self, host: str) -> ReportedStandby | None:
        """How the primary sees `host` as its standby: by application_name, which is the host's name."""
        primary = self.report(self.primary) if self.primary is not None else None
        if primary is None:
            return None
        for standby in primary.standbys:
            if standby.application_name == host:
                return standby
        return None

    def role(self, host: str) -> str:
        """`primary`, `standby` or `lost`; two primaries are both called `primary`, since both say so."""
        report = self.report(host)
        if report is None:
            return "lost"
        return "standby" if report.in_recovery else "primary"

    def lag_bytes(self, host: str) -> int | None:
        """How much WAL of the primary `host` has not replayed, by the latest reports; None if unknown."""
        primary = self.report(self.primary) if self.primary is not None else None
        report = self.report(host)
        if (
            primary is None
            or report is None
            or primary.insert_lsn is None
            or report.position is None
        ):
            return None
        return max(0, primary.insert_lsn - report.position)


def _primaries(primaries: list[Report], alive: list[Report]) -> Problem | None:
    names = tuple(report.host for report in primaries)
    if len(names) > 1:
        text = f"More than one host says it is primary: {', '.join(names)}."
        return Problem(code="several_primaries", hosts=names, text=text)
    if not names:
        hosts = tuple(report.host for report in alive)
        return Problem(code="no_primary", hosts=hosts, text="No host that answers is primary.")
    return None


def _identifiers(alive: list[Report]) -> Problem | None:
    if len({report.system_identifier for report in alive}) <= 1:
        return None
    said = ", ".join(f"{report.host}={report.system_identifier}" for report in alive)
    hosts = tuple(report.host for report in alive)
    return Problem(
        code="system_identifiers_differ", hosts=hosts, text=f"System identifiers differ: {said}."
    )


def _versions(alive: list[Report]) -> Problem | None:
    if len({report.server_version_num // 10_000 for report in alive}) <= 1:
        return None
    said = ", ".join(f"{report.host}={report.server_version_num}" for report in alive)
    hosts = tuple(report.host for report in alive)
    return Problem(
        code="server_versions_differ", hosts=hosts, text=f"Major server versions differ: {said}."
    )
