"""From TOML to `Config`, or to a ConfigError with every problem and its place.

Pure: the text is given, relative paths are made relative to the directory that is given. Reading
goes on after a problem, with the field's default, so that one run shows them all.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar, get_args, get_type_hints

from pywire.config import check
from pywire.config.address import Address
from pywire.config.model import (
    AdminConfig,
    ClusterConfig,
    HostConfig,
    ListenConfig,
    LogConfig,
    LoginConfig,
    MigrationConfig,
    RelayConfig,
)
from pywire.config.setting import Setting, required, settings
from pywire.errors import ConfigError, Problem

Section = TypeVar("Section")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration, as it is in force.

    Attributes:
        clusters: by name; the file's `[cluster.NAME]`.
    """

    listen: ListenConfig = field(default_factory=ListenConfig)
    relay: RelayConfig = field(default_factory=RelayConfig)
    login: LoginConfig = field(default_factory=LoginConfig)
    migration: MigrationConfig = field(default_factory=MigrationConfig)
    admin: AdminConfig = field(default_factory=AdminConfig)
    log: LogConfig = field(default_factory=LogConfig)
    clusters: Mapping[str, ClusterConfig]

    @classmethod
    def parse(cls, text: str, base_dir: Path) -> Self:
        """Read a configuration.

        Args:
            text: the file's content.
            base_dir: what relative paths in it are relative to.

        Raises:
            ConfigError: with every problem found.
        """
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError([_syntax_problem(str(error))]) from None
        reader = _Reader(base_dir)
        parts = {name: reader.section(kind, document, name) for name, kind in SECTIONS.items()}
        clusters = reader.clusters(document.get("cluster"))
        reader.unknown(document, {*SECTIONS, "cluster"}, "")
        config = cls(**parts, clusters=MappingProxyType(clusters))
        # Contradictions are only looked for among values that are right by themselves.
        problems = reader.problems or check.contradictions(config)
        if problems:
            raise ConfigError(problems)
        return config

    @property
    def cluster(self) -> ClusterConfig:
        """The only cluster; a configuration with more is refused so far."""
        return next(iter(self.clusters.values()))


SECTIONS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "listen": ListenConfig,
        "relay": RelayConfig,
        "login": LoginConfig,
        "migration": MigrationConfig,
        "admin": AdminConfig,
        "log": LogConfig,
    }
)


def _syntax_problem(text: str) -> Problem:
    """What tomllib says, with the place it ends on brought to the front."""
    message, at, place = text.rpartition(" (at ")
    if not at:
        return Problem("", text)
    return Problem(place.rstrip(")"), message)


class _Reader:
    """Reads sections and remembers what was wrong with them."""

    def __init__(self, base_dir: Path) -> None:
        self.base_dir = base_dir
        self.problems: list[Problem] = []

    def problem(self, place: str, text: str) -> None:
        self.problems.append(Problem(place, text))

    def unknown(self, table: Mapping[str, Any], known: set[str], place: str) -> None:
        for key in table:
            if key not in known:
                self.problem(
                    f"{place}{key}",
                    "there is no such setting" if place else "there is no such section",
                )

    def section(self, kind: type[Section], document: Mapping[str, Any], name: str) -> Section:
        table = document.get(name, {})
        if not isinstance(table, dict):
            self.problem(name, f"a section is written [{name}]")
            table = {}
        return kind(**self.fields(kind, table, f"{name}.", known=set()))

    def fields(
        self, kind: type[Any], table: Mapping[str, Any], place: str, *, known: set[str]
    ) -> dict[str, Any]:
        """The values of a section's fields; a wrong one is a problem and gets a stand-in."""
        hints = get_type_hints(kind)
        values: dict[str, Any] = {}
        for item, about in settings(kind):
            known = known | {item.name}
            values[item.name] = self.value(item, about, hints[item.name], table, place)
        self.unknown(table, known, place)
        return values

    def value(
        self,
        item: Field[Any],
        about: Setting,
        hint: Any,
        table: Mapping[str, Any],
        place: str,
    ) -> Any:
        path = f"{place}{item.name}"
        fallback = None if item.default is MISSING else item.default
        if item.name not in table:
            if required(item):
                self.problem(path, "must be given")
            return fallback
        try:
            value = _converted(table[item.name], hint, self.base_dir)
            _in_range(value, about)
        except ValueError as error:
            self.problem(path, str(error))
            return fallback
        return value

    def clusters(self, table: Any) -> dict[str, ClusterConfig]:
        if not isinstance(table, dict) or not table:
            self.problem("cluster", "at least one [cluster.NAME] must be given")
            return {}
        return {name: self.cluster(name, body) for name, body in table.items()}

    def cluster(self, name: str, body: Any) -> ClusterConfig:
        place = f"cluster.{name}"
        if not isinstance(body, dict):
            self.problem(place, f"a cluster is written [{place}]")
            body = {}
        values = self.fields(ClusterConfig, body, f"{place}.", known={"host"})
        entries = body.get("host", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            self.problem(f"{place}.host", f"a host is written [[{place}.host]]")
            entries = []
        elif not entries:
            self.problem(f"{place}.host", "at least one host must be given")
        hosts = tuple(
            HostConfig(**self.fields(HostConfig, entry, f"{place}.host[{index}].", known=set()))
            for index, entry in enumerate(entries)
        )
        return ClusterConfig(name=name, hosts=hosts, **values)


def _converted(value: Any, hint: Any, base_dir: Path) -> Any:
    """The value as the field's type; ValueError if it is of another."""
    kind = next((arm for arm in get_args(hint) if arm is not type(None)), hint)
    if hint == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError('must be a list of texts, like ["postgres"]')
        return tuple(value)
    if kind is Path:
        return base_dir / Path(_text(value))
    if kind is Address:
        return Address.parse(_text(value))
    if kind is str:
        return _text(value)
    if kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, not {value!r}")
        return value
    number = isinstance(value, int) and not isinstance(value, bool)
    if kind is int and not number:
        raise ValueError(f"must be a whole number, not {value!r}")
    if kind is float:
        if not (number or isinstance(value, float)) or value != value:
            raise ValueError(f"must be a number, not {value!r}")
        return float(value)
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a text in quotes, not {value!r}")
    if not value or "\0" in value:
        raise ValueError("must not be empty" if not value else "must not contain a zero byte")
    return value


def _in_range(value: Any, about: Setting) -> None:
    if about.choices and value not in about.choices:
        later = NOT_YET.get(value, "")
        raise ValueError(f"must be one of {', '.join(about.choices)}, not {value!r}{later}")
    if about.minimum is not None and value < about.minimum:
        raise ValueError(f"must be at least {about.minimum}, not {value}")
    if about.maximum is not None and value > about.maximum:
        raise ValueError(f"must be at most {about.maximum}, not {value}")


NOT_YET = {
    "patroni": ": following Patroni is planned, and not there yet",
    "probe": ": finding the primary by probing alone is planned, and not there yet",
}
