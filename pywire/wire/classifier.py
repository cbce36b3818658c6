"""Classifications remembered: by the text itself, then by the text without its constants.

Holds two bounded tables and counts what they save; it never parses anything itself. One owner at a time: a lookup
that misses may take milliseconds, and who must not wait asks `known()` first and lets a thread do the rest.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from pywire.wire.classify import TEXT_BYTES_MAX, classify, repeatable
from pywire.wire.effects import Classification

__all__ = ["Classifier", "Counts", "shape"]

# A quoted name; a string; a number; what begins a token whose end a simple pattern would not find.
_TOKEN = re.compile(
    r"""("(?:[^"]|"")*")|('(?:[^']|'')*'|(?<![\w.$])\d+(?:\.\d+)?(?![\w.]))"""
    r"""|--|/\*|\$(?!\d)|(?<!\w)(?:[eEbBxXnN]|[uU]&)'"""
)


@dataclass(slots=True)
class Counts:
    """How lookups ended."""

    by_text: int = 0
    by_shape: int = 0
    parsed: int = 0


class Classifier:
    """Remembers the last `texts_max` texts and `shapes_max` shapes it was asked about."""

    def __init__(
        self,
        *,
        texts_max: int = 4096,
        shapes_max: int = 1024,
        parse: Callable[..., Classification] = classify,
    ) -> None:
        self.counts = Counts()
        self._parse = parse
        self._texts: _Recent = _Recent(texts_max)
        self._shapes: _Recent = _Recent(shapes_max)

    def known(self, text: str, *, conforming: bool = True) -> Classification | None:
        """What is remembered of `text`, or None; never parses."""
        key = text if conforming else "\\" + text
        if (found := self._texts.get(key)) is not None:
            self.counts.by_text += 1
            return found
        if (form := _shape(text)) is None or (found := self._shapes.get(form)) is None:
            return None
        self.counts.by_shape += 1
        return found

    def classify(self, text: str, *, conforming: bool = True) -> Classification:
        """What `text` does; as `classify.classify`, and like it this raises nothing."""
        if (found := self.known(text, conforming=conforming)) is not None:
            return found
        found = self._parse(text, conforming=conforming)
        self.remember(text, found, conforming=conforming)
        return found

    def remember(self, text: str, found: Classification, *, conforming: bool = True) -> None:
        """Keep what a thread found out about `text`."""
        self.counts.parsed += 1
        if len(text) > TEXT_BYTES_MAX:
            return  # few and long: they would only crowd the others out of memory
        self._texts.put(text if conforming else "\\" + text, found)
        if repeatable(found) and (form := _shape(text)) is not None:
            self._shapes.put(form, found)


def shape(text: str) -> str | None:
    """`text` with a question mark for each constant; None if it is not certain where its constants end.

    Two texts of one shape have the same syntax tree but for the values in it. A fingerprint would be shorter, but it
    makes one of what differs in schema or in digits of a name, and tables of both kinds have triggers of their own.
    """
    if "\\" in text:
        return None
    parts: list[str] = []
    end = 0
    for token in _TOKEN.finditer(text):
        if token[2] is not None:
            parts += (text[end : token.start()], "?")
            end = token.end()
        elif token[1] is None:
            return None
    return "".join((*parts, text[end:]))


def _shape(text: str) -> str | None:
    # Shapes have no backslashes, so standard_conforming_strings makes no difference to them.
    return shape(text) if len(text) <= TEXT_BYTES_MAX else None


class _Recent:
    """The most recently used entries of a table, up to a number."""

    def __init__(self, entries_max: int) -> None:
        self._entries: OrderedDict[str, Classification] = OrderedDict()
        self._entries_max = entries_max

    def get(self, key: str) -> Classification | None:
        if (found := self._entries.get(key)) is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: str, found: Classification) -> None:
        self._entries[key] = found
        self._entries.move_to_end(key)
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)
