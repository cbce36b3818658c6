"""What synchronous_standby_names must say after two hosts have changed places.

Pure text work on the parameter's own grammar: `s1, s2`, `FIRST n (…)`, `ANY n (…)`, `n (…)` and `*`.
"""

from __future__ import annotations

import re

__all__ = ["swapped"]

_TOKEN = re.compile(r'"(?:[^"]|"")*"|[^\s,()"]+|[\s,()]')
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*\Z")
_KEYWORDS = frozenset({"first", "any"})


def swapped(names: str, one: str, other: str) -> str:
    """`names` with the standbys `one` and `other` exchanged; all else, spacing included, as it was."""
    exchange = {one.lower(): other, other.lower(): one}
    tokens = _TOKEN.findall(names)
    result = []
    for index, token in enumerate(tokens):
        rest = "".join(tokens[index + 1 :]).lstrip()
        keyword = token.lower() in _KEYWORDS and rest[:1].isdigit()
        name = _unquoted(token).lower()
        result.append(_quoted(exchange[name]) if not keyword and name in exchange else token)
    return "".join(result)


def _unquoted(token: str) -> str:
    return token[1:-1].replace('""', '"') if token.startswith('"') else token


def _quoted(name: str) -> str:
    if _PLAIN.match(name) and name not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'
