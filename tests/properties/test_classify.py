"""No text makes the classifier raise, and what it remembers is what it would find."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pywire._rust.wire import scan
from pywire.wire import effects as e
from pywire.wire.classifier import Classifier
from pywire.wire.classify import classify
from tests.reference.session_programs import sql, strategy

PIECES = (
    "select", "set", "local", "x", "to", "=", "1", "2.5", "'a'", "'it''s'", "\"Q'1\"", "$1", "(", ")", ",", ";",
    "f(1)", "set_config('a', 'b', true)", "pg_advisory_lock(3)", "from", "t_2020", "a.t", "update", "insert into",
    "values", "where", "--", "/*", "*/", "\n", "$$", "e'\\''", "u&'x'", "begin", "prepare p as", "listen",
)  # fmt: skip
text = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join))
constant = st.one_of(
    st.integers(0, 99).map(str),
    st.text(alphabet="ab'\"; -*/$1", max_size=6).map(lambda s: "'" + s.replace("'", "''") + "'"),
)
TEMPLATES = (
    "select f({}) from t where a = {}",
    "update a.t set b = {}, c = g({})",
    'insert into t_{0} values ({0}, "x")',
    "insert into t values ({}, {}), (h(), 3)",
    "set x to {}; select {}",
    "select set_config('a', {}, false), {}",
    "select pg_advisory_lock({}), {}",
    "prepare p as select {}, {}",
)
# What the relay's search for words need not find: it ends with the transaction, or is data's affair.
UNSEARCHED = (
    e.Begin, e.CallsUnknown, e.CloseCursor, e.Commit, e.DropRelations, e.Execute, e.MayWrite, e.Release, e.Rollback,
    e.RollbackTo, e.Savepoint, e.SetTransaction,
)  # fmt: skip


def effects(classification: e.Classification) -> list[e.Effect]:
    return [effect for statement in classification.statements for effect in statement.effects]


@given(text, st.booleans())
def test_no_text_makes_it_raise(text, conforming):
    Classifier().classify(text, conforming=conforming)


@given(st.lists(st.tuples(st.sampled_from(TEMPLATES), constant, constant), max_size=8))
def test_what_is_remembered_is_what_would_be_found(texts):
    classifier = Classifier()
    for template, one, other in texts:
        text = template.format(one, other)
        assert classifier.classify(text) == classify(text)


@given(st.lists(text, min_size=2, max_size=6))
def test_no_text_is_taken_for_another(texts):
    classifier = Classifier()
    for text in texts:
        assert classifier.classify(text) == classify(text)


@given(strategy())
def test_the_search_for_words_finds_what_the_parser_finds(program):
    for request in program:
        for operation in request:
            text = sql(operation)
            found = [f for f in effects(classify(text)) if not isinstance(f, UNSEARCHED)]
            confined = all(
                isinstance(f, e.SetParameter | e.ResetParameter) and f.local for f in found
            )
            assert confined or scan(text.encode()), text
