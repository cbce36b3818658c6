"""The tables of phases."""

from pathlib import Path

import pytest

from pywire.migration import phases
from pywire.migration.phases import MIGRATION, SWITCHOVER, Phase, step


@pytest.mark.parametrize("table", [SWITCHOVER, MIGRATION])
def test_once_over_the_line_nothing_is_reversible_any_more(table):
    marks = [row.reversible for row in table]
    assert marks == sorted(marks, reverse=True)
    assert marks[0] is True
    assert marks[-1] is False
    assert len({row.phase for row in table}) == len(table)


def test_the_promotion_is_the_line():
    assert step(SWITCHOVER, Phase.VERIFYING).reversible
    assert not step(SWITCHOVER, Phase.PROMOTING).reversible
    with pytest.raises(KeyError):
        step(MIGRATION, Phase.PROMOTING)


def test_the_switchover_enters_every_phase_of_its_table():
    prose = (Path(phases.__file__).parents[1] / "cluster" / "switchover.py").read_text()
    for row in SWITCHOVER[1:]:
        assert f"_enter(Phase.{row.phase.name})" in prose
