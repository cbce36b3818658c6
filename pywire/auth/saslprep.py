"""SASLprep (RFC 4013) as PostgreSQL applies it to passwords.

Pure. Where a password cannot be prepared, PostgreSQL takes its bytes as they are, and so does this.
"""

import stringprep
from unicodedata import ucd_3_2_0

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def saslprep(password: bytes) -> bytes:
    """Prepare a password; one that is pure ASCII, not UTF-8, or prohibited comes back unchanged."""
    if password.isascii():
        return password
    try:
        text = password.decode("utf-8")
    except UnicodeDecodeError:
        return password
    prepared = _prepare(text)
    return password if prepared is None else prepared.encode("utf-8")


def _prepare(text: str) -> str | None:
    mapped = "".join(
        " " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c)
    )
    if not mapped:
        return None
    normal = ucd_3_2_0.normalize("NFKC", mapped)
    if any(prohibited(c) for c in normal for prohibited in _PROHIBITED):
        return None
    if any(stringprep.in_table_d1(c) for c in normal):
        # Right-to-left text: no left-to-right character in it, and right-to-left ones at both ends.
        if any(stringprep.in_table_d2(c) for c in normal):
            return None
        if not (stringprep.in_table_d1(normal[0]) and stringprep.in_table_d1(normal[-1])):
            return None
    return normal
