"""What is known about one field of the configuration besides its type: the words and the limits.

The parser, the reference page, the examples and the reload all read the same `Setting`, so they
cannot say different things.
"""

from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

KEY = "setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One field: its meaning, advice on it, its limits, and whether a change needs a restart."""

    meaning: str
    advice: str
    example: object = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    restart: bool = False


def setting(
    default: Any = MISSING,
    *,
    meaning: str,
    advice: str,
    example: object = None,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    restart: bool = False,
) -> Any:
    """A dataclass field with a `Setting`; without a default it must be given."""
    known = Setting(
        meaning=meaning,
        advice=advice,
        example=example,
        choices=choices,
        minimum=minimum,
        maximum=maximum,
        restart=restart,
    )
    return field(default=default, metadata={KEY: known})


def settings(section: Any) -> list[tuple[Field[Any], Setting]]:
    """The fields of a section, in the order they are defined."""
    return [(item, item.metadata[KEY]) for item in fields(section) if KEY in item.metadata]


def required(item: Field[Any]) -> bool:
    """Whether the field has no default."""
    return item.default is MISSING and item.default_factory is MISSING
