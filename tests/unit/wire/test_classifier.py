"""What the classifier remembers."""

import pytest

from pywire.wire.classifier import Classifier, shape
from pywire.wire.classify import TEXT_BYTES_MAX, classify


def counts(classifier):
    return classifier.counts.by_text, classifier.counts.by_shape, classifier.counts.parsed


def test_a_text_is_parsed_once():
    classifier = Classifier()
    assert classifier.known("set x to 1") is None
    assert classifier.classify("set x to 1") is classifier.classify("set x to 1")
    assert counts(classifier) == (1, 0, 1)


def test_a_text_with_other_constants_is_not_parsed_again():
    classifier = Classifier()
    first = classifier.classify("update t set a = f('it''s') where b = 1.5")
    assert classifier.classify("update t set a = f('x') where b = 2") is first
    assert counts(classifier) == (0, 1, 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("set x to 1", "set x to 2"),
        ("select set_config('a', 'b', false)", "select set_config('c', 'b', false)"),
        ("insert into t_2020 values (1)", "insert into t_2021 values (1)"),
        ("insert into a.t values (1)", "insert into b.t values (1)"),
        ('select f1("1")', 'select f1("2")'),
        ("select pg_advisory_lock(1)", "select pg_advisory_lock(2)"),
        ("select $$1$$", "select $$2$$"),
        ("select e'\\'1'", "select e'\\'2'"),
        ("select 1 -- 'a", "select 1 -- 'b"),
        ("select 1 /* 1 */", "select 1 /* 2 */"),
    ],
)
def test_what_may_differ_is_parsed_each(one, other):
    classifier = Classifier()
    classifier.classify(one)
    assert classifier.classify(other) == classify(other)
    assert counts(classifier) == (0, 0, 2)


def test_shapes():
    assert shape("select 'a''b', 1, 2.5, a1, $1, \"c'1\"") == 'select ?, ?, ?, a1, $1, "c\'1"'
    assert shape("select 'a' 'b', x.1") == "select ? ?, x.1"
    assert shape("select U&'x'") is None


def test_standard_conforming_strings_off_is_another_text():
    classifier = Classifier()
    text = r"select 'a\'"
    assert classifier.classify(text).parsed
    assert not classifier.classify(text, conforming=False).parsed
    assert classifier.classify(text).parsed


def test_memory_is_bounded():
    classifier = Classifier(texts_max=3, shapes_max=2)
    for number in range(10):
        classifier.classify(f"set x to {number}")
        classifier.classify(f"select a{number}")
    assert classifier.known("set x to 9") is not None
    assert classifier.known("set x to 0") is None
    assert classifier.known("select a0") is None
    classifier.classify(long := "select '" + "x" * TEXT_BYTES_MAX + "'")
    assert classifier.known(long) is None
