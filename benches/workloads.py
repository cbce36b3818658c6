"""The loads that the proxies are measured under, each one run by pgbench or by `benches.bulk`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of load.

    Attributes:
        name: as in results and options.
        title: as in tables.
        options: pgbench's options, for those it runs.
        script: a pgbench script, or the statement of a bulk load.
        bulk: whether `benches.bulk` runs it; it is counted in MiB then, not in transactions.
    """

    name: str
    title: str
    options: tuple[str, ...] = ()
    script: str = ""
    bulk: bool = False

    @property
    def unit(self) -> str:
        return "MiB" if self.bulk else "transaction"


_PIPELINE = "\\startpipeline\n" + "SELECT 1;\n" * 20 + "\\endpipeline\n"
COPY_TABLE = "bench_copy"

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("select-simple", "pgbench -S, simple", ("-S", "-M", "simple")),
        Workload("select-extended", "pgbench -S, extended", ("-S", "-M", "extended")),
        Workload("select-prepared", "pgbench -S, prepared", ("-S", "-M", "prepared")),
        Workload("select-1", "SELECT 1", ("-M", "simple"), "SELECT 1;\n"),
        Workload("tpcb", "TPC-B", ("-b", "tpcb-like", "-M", "simple")),
        Workload("pipeline", "20-statement pipelines", ("-M", "extended"), _PIPELINE),
        Workload("churn", "a connection per transaction (-C)", ("-C", "-S", "-M", "simple")),
        Workload(
            "rows-1k",
            "rows of 1 kB",
            bulk=True,
            script="SELECT repeat('x', 1000) FROM generate_series(1, 20000)",
        ),
        Workload(
            "copy-out",
            "COPY OUT",
            bulk=True,
            script="COPY (SELECT repeat('x', 1000) FROM generate_series(1, 50000)) TO STDOUT",
        ),
        Workload(
            "values-1m",
            "1 MiB values",
            bulk=True,
            script="SELECT repeat('x', 1048576) FROM generate_series(1, 16)",
        ),
        Workload("copy-in", "COPY IN", bulk=True, script=f"COPY {COPY_TABLE} FROM STDIN"),
    )
}
