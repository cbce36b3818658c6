"""Files fail at 600 lines, functions at 70: what is longer has two subjects."""

import ast
import re

import pytest

from tests.tidy.tree import module_name, parsed, place, python_files, rust_files

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
# Tables in the form of a function: one short arm per kind of thing, nothing to see in between.
TABLES = {("rust/python/src/relay.rs", "to_python")}
RUST_FUNCTION = re.compile(
    r"^( *)(?:pub(?:\([a-z]+\))? )?(?:const |async |unsafe |extern \"C\" )*fn (\w+)"
)


@pytest.mark.parametrize("path", [*python_files(), *rust_files()], ids=place)
def test_a_file_has_one_subject(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".rs":  # Rust's unit tests live in the file they test
        lines = lines[: next((n for n, line in enumerate(lines) if line == "#[cfg(test)]"), None)]
    assert len(lines) <= FILE_LINES_MAX, f"{place(path)}: {len(lines)} lines"


@pytest.mark.parametrize("path", python_files(), ids=lambda path: module_name(path))
def test_a_function_can_be_seen_whole(path):
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{place(path, node.lineno)}: {node.name}: {lines}"


@pytest.mark.parametrize("path", [p for p in rust_files() if "/src/" in place(p)], ids=place)
def test_a_rust_function_can_be_seen_whole(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    for start, line in enumerate(lines):
        match = RUST_FUNCTION.match(line)
        if match is None or line.rstrip().endswith((";", "}")):
            continue
        if (place(path), match[2]) in TABLES:
            continue
        end = next((n for n in range(start + 1, len(lines)) if lines[n] == match[1] + "}"), start)
        length = end - start + 1
        assert length <= FUNCTION_LINES_MAX, f"{place(path, start + 1)}: {match[2]}: {length} lines"
