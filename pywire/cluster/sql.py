"""Text as it may stand in SQL.

Pure.
"""

__all__ = ["literal"]


def literal(text: str) -> str:
    """A string constant that means `text` whatever standard_conforming_strings says."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"
