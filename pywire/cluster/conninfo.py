"""libpq connection strings of the keyword/value form, as found in primary_conninfo.

Pure. It reads and writes the text; it never connects and never logs a value, since one may be a password.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["format_conninfo", "parse_conninfo", "pointed_at"]


def parse_conninfo(text: str) -> dict[str, str]:
    """The keywords and values of `text`, last one winning as in libpq; ValueError if it is not of that form."""
    values: dict[str, str] = {}
    position = 0
    while True:
        position = _skip_space(text, position)
        if position >= len(text):
            return values
        start = position
        while position < len(text) and text[position] != "=" and not text[position].isspace():
            position += 1
        keyword = text[start:position]
        position = _skip_space(text, position)
        if not keyword or position >= len(text) or text[position] != "=":
            raise ValueError("a connection string needs keyword = value pairs")
        value, position = _value(text, _skip_space(text, position + 1))
        values[keyword] = value


def format_conninfo(values: Mapping[str, str]) -> str:
    """The text libpq reads back as `values`; every value is quoted, so none needs a look."""
    quoted = {
        name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in values.items()
    }
    return " ".join(f"{name}='{value}'" for name, value in quoted.items())


def pointed_at(
    values: Mapping[str, str], *, host: str, port: int, application_name: str
) -> dict[str, str]:
    """The same connection, by the same user, to another host and under another standby's name."""
    kept = {
        name: value
        for name, value in values.items()
        if name not in {"host", "hostaddr", "port", "load_balance_hosts"}
    }
    kept.pop("application_name", None)
    return {**kept, "host": host, "port": str(port), "application_name": application_name}


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _value(text: str, position: int) -> tuple[str, int]:
    quoted = position < len(text) and text[position] == "'"
    position += 1 if quoted else 0
    result: list[str] = []
    while position < len(text):
        character = text[position]
        if character == "\\" and position + 1 < len(text):
            position += 1
            result.append(text[position])
        elif quoted and character == "'":
            return "".join(result), position + 1
        elif not quoted and character.isspace():
            return "".join(result), position
        else:
            result.append(character)
        position += 1
    if quoted:
        raise ValueError("a connection string has an unterminated quoted value")
    return "".join(result), position
