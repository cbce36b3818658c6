import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywire.lsn import Lsn


def test_the_manuals_notation_is_read_and_written():
    assert Lsn.parse("16/B374D848") == Lsn(0x16_B374D848)
    assert str(Lsn(0x16_B374D848)) == "16/B374D848"
    assert str(Lsn(0)) == "0/0"


@given(st.integers(0, 2**64 - 1))
def test_what_is_written_is_read_back(position):
    assert Lsn.parse(str(Lsn(position))) == Lsn(position)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_positions_are_ordered_as_numbers_are(one, other):
    assert (Lsn(one) < Lsn(other)) == (one < other)
    assert (Lsn(one) >= Lsn(other)) == (one >= other)
    assert Lsn(one) - Lsn(other) == one - other


@pytest.mark.parametrize("text", ["", "16", "16/", "/1", "16/B374D8481", "x/1", " 0/1", "0/1\n"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="not an LSN"):
        Lsn.parse(text)


def test_a_position_fits_into_64_bits():
    with pytest.raises(ValueError, match="64-bit"):
        Lsn(2**64)
    with pytest.raises(ValueError, match="64-bit"):
        Lsn(-1)


def test_the_invalid_position_is_false():
    assert not Lsn(0)
    assert Lsn(1)


def test_a_position_is_not_compared_with_a_number():
    with pytest.raises(TypeError):
        assert Lsn(1) < 2
    assert Lsn(1) != 1
