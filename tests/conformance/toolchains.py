"""Drivers in other languages, fetched and built once into `.cache` at the top of the repository.

A missing toolchain is a reason to skip, never a silent pass. What is built is kept until its sources change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "conformance"
BUILD_SECONDS_MAX = 300.0


class ToolchainMissing(Exception):
    """The text says what is not installed."""


def pgjdbc() -> list[str | Path]:
    """The command that runs the Java program, with pgjdbc from Maven."""
    need("java", "javac", "mvn")

    def build(directory: Path) -> None:
        shutil.copy(HERE / "java" / "pom.xml", directory)
        run(
            directory,
            *("mvn", "-q", "-B", "-f", "pom.xml", "dependency:copy-dependencies"),
            *("-DincludeScope=runtime", "-DoutputDirectory=jars"),
        )
        run(directory, "javac", "-cp", "jars/*", "-d", ".", str(HERE / "java" / "Client.java"))

    directory = built("java", [HERE / "java" / "pom.xml", HERE / "java" / "Client.java"], build)
    options = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
    return ["java", *options, "-cp", f"{directory}:{directory}/jars/*", "Client"]


def pgx() -> list[str | Path]:
    """The Go program, built with pgx."""
    need("go")
    sources = [HERE / "go" / name for name in ("go.mod", "go.sum", "main.go")]

    def build(directory: Path) -> None:
        run(HERE / "go", "go", "build", "-o", str(directory / "client"), ".")

    return [built("go", sources, build) / "client"]


def node_postgres() -> list[str | Path]:
    """The command that runs the JavaScript program, with node-postgres from npm."""
    need("node", "npm")
    sources = [HERE / "node" / name for name in ("package.json", "package-lock.json", "client.js")]

    def build(directory: Path) -> None:
        for source in sources:
            shutil.copy(source, directory)
        run(directory, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")

    return ["node", "--no-warnings", built("node", sources, build) / "client.js"]


def need(*programs: str) -> None:
    """Raise ToolchainMissing if one of the programs is not there."""
    for program in programs:
        if shutil.which(program) is None:
            raise ToolchainMissing(f"{program} is not installed")


def built(name: str, sources: list[Path], build: Callable[[Path], None]) -> Path:
    """Return a directory in which `build` has been run for the sources as they are now."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE.parent / ".gitignore").write_text("*\n")
    directory = CACHE / f"{name}-{digest.hexdigest()[:12]}"
    if not directory.exists():
        scratch = CACHE / f"{name}-{os.getpid()}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        build(scratch)
        scratch.rename(directory)
    return directory


def run(directory: Path, *command: str) -> None:
    """Run a build step, quietly unless it fails."""
    completed = subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_SECONDS_MAX,
        check=False,
    )
    assert completed.returncode == 0, f"{' '.join(command)}:\n{completed.stdout[-4000:]}"
