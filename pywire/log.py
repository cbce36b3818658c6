"""Writes events to stderr, one line each, as text or JSON.

It knows levels and formats and nothing else: what is said is what the event carries, and events
carry no secrets. A reader that went away does not stop pywire.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from pywire.events import Field, Level, Recorded

LEVELS: Mapping[str, Level] = {
    "debug": Level.DEBUG,
    "info": Level.INFO,
    "warning": Level.WARNING,
    "error": Level.ERROR,
}


class Log:
    """A listener of the event log: `events.listen(log.write)`.

    Args:
        stream: where the lines go.
        form: "text" or "json", as `log.format`.
        level: the least that is written, as `log.level`.
    """

    def __init__(self, stream: TextIO, form: str = "text", level: str = "info") -> None:
        self._stream = stream
        self.configure(form, level)

    def configure(self, form: str, level: str) -> None:
        """Take another format and level from now on (a reload)."""
        self._json = form == "json"
        self._level = LEVELS[level]

    def write(self, recorded: Recorded) -> None:
        """Write one event, if its level is high enough."""
        if recorded.event.level < self._level:
            return
        line = json_line(recorded) if self._json else text_line(recorded)
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads it, or it is closed: not the sessions' fault
            return


def timestamp(seconds: float) -> str:
    """A time of day as `2026-01-31T23:59:59.123Z`."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def json_line(recorded: Recorded) -> str:
    """One JSON object: at, level, event, then the event's own fields."""
    event = recorded.event
    fields: dict[str, Field] = {
        "at": timestamp(recorded.at),
        "level": event.level.name.lower(),
        "event": event.name(),
        **event.to_fields(),
    }
    return json.dumps(fields, ensure_ascii=False)


def text_line(recorded: Recorded) -> str:
    """Time, level, event and `name=value` pairs; values with spaces are quoted."""
    event = recorded.event
    words = [timestamp(recorded.at), f"{event.level.name:<7}", event.name()]
    words += [f"{name}={_text(value)}" for name, value in event.to_fields().items()]
    return " ".join(words)


def _text(value: Field) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else str(value)
    plain = text and text.isprintable() and not any(letter in ' "=' for letter in text)
    return text if plain else json.dumps(text, ensure_ascii=False)
