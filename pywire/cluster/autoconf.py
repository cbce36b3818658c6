"""postgresql.auto.conf as text: one setting changed, every other line as it was.

Pure. This file is where pywire points a standby at its primary, because the server reads it last: pg_basebackup -R
has usually put a primary_conninfo there already, which would win over any file included from postgresql.conf. It is
only ever rewritten while the server is stopped, so no ALTER SYSTEM can be lost.
"""

from __future__ import annotations

import re

__all__ = ["with_settings"]


def with_settings(text: str, settings: dict[str, str | None]) -> str:
    """`text` with every setting in `settings` once, at the end; None takes it away."""
    names = "|".join(re.escape(name) for name in settings)
    assignment = re.compile(rf"\s*(?:{names})\s*(?:=|\s)", re.IGNORECASE)
    kept = [line for line in text.splitlines() if not assignment.match(line)]
    kept += [f"{name} = {_quoted(value)}" for name, value in settings.items() if value is not None]
    return "\n".join(kept) + "\n"


def _quoted(value: str) -> str:
    if "\n" in value or "\0" in value:
        raise ValueError("a setting cannot contain a line break")
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
