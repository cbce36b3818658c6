"""PostgreSQL's own words, unabbreviated, in every name: docs/glossary.md says which."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.tidy.tree import parsed, place, python_files, rust_files, words

BANNED = {
    "rfq": "ready_for_query",
    "stmt": "statement",
    "guc": "parameter",
    "txn": "transaction",
    "xact": "transaction",
    "upstream": "backend or host",
    "downstream": "frontend or client",
}
# PostgreSQL's own names of functions and columns.
ALLOWED = {"pg_xact_status"}


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every name a module gives to something of its own."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr


@pytest.mark.parametrize("path", python_files(), ids=place)
def test_python_names_use_postgresqls_words(path):
    for line, name in names(parsed(path)):
        for word in words(name):
            assert word not in BANNED or name in ALLOWED, (
                f"{place(path, line)}: {name}: say {BANNED[word]}"
            )


@pytest.mark.parametrize("path", rust_files(), ids=place)
def test_rust_names_use_postgresqls_words(path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        code = re.sub(r'"(?:[^"\\]|\\.)*"', '""', line.partition("//")[0])
        for name in re.findall(r"[A-Za-z_]\w*", code):
            for word in words(name):
                assert word not in BANNED or name in ALLOWED, (
                    f"{place(path, number)}: {name}: say {BANNED[word]}"
                )
