"""pg_controldata's lines."""

import pytest

from pywire.cluster.controldata import parse_controldata
from pywire.lsn import Lsn

SAID = """\
pg_control version number:            1300
Database system identifier:           7711153758219379541
Database cluster state:               shut down
pg_control last modified:             Mon Nov 23 00:14:54 2026
Latest checkpoint location:           0/3000098
Latest checkpoint's TimeLineID:       1
"""


def test_the_lines_that_matter():
    data = parse_controldata(SAID)
    assert data.clean
    assert data.checkpoint_lsn == Lsn.parse("0/3000098")
    assert data.timeline == 1
    assert data.system_identifier == 7711153758219379541


def test_any_other_state_is_not_clean():
    for state in ("in production", "shut down in recovery", "shutting down"):
        assert not parse_controldata(SAID.replace("shut down", state, 1)).clean


def test_a_missing_line_is_named():
    with pytest.raises(ValueError, match="Latest checkpoint location"):
        parse_controldata(SAID.replace("Latest checkpoint location", "Something else"))
