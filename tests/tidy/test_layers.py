"""Imports go down only, and the pure layers import nothing that waits, reads or guesses.

The table is ARCHITECTURE.md's; a module that is in no row fails, so that a new one gets its place.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.tidy.tree import module_name, parsed, place, python_files

# The longest name that matches counts.
LAYERS = {
    "pywire": 0,
    "pywire.errors": 0,
    "pywire.events": 0,
    "pywire.ids": 0,
    "pywire.lsn": 0,
    "pywire.config": 0,
    "pywire.wire": 0,
    "pywire.session": 1,
    "pywire.auth": 1,
    "pywire.migration.phases": 2,
    "pywire.cluster.topology": 2,
    "pywire.cluster.decide": 2,
    "pywire.cluster.autoconf": 2,
    "pywire.cluster.conninfo": 2,
    "pywire.cluster.controldata": 2,
    "pywire.cluster.synchronous": 2,
    "pywire.relay": 3,
    "pywire.migration": 4,
    "pywire.cluster": 4,
    "pywire.cli": 5,
    "pywire.check": 5,
    "pywire.admin": 5,
    "pywire.supervisor": 5,
    "pywire.demo": 5,
    "pywire.log": 5,
    "pywire.metrics": 5,
    "pywire.__main__": 5,
    "pywire.testing": 6,
}
PURE_UP_TO = 2
IMPURE = {
    "asyncio", "os", "random", "select", "selectors", "signal", "socket", "subprocess",
    "threading", "time", "trio",
}  # fmt: skip
# pywire.auth.secrets locks its memory, which only the operating system can do; it does not wait.
EXTENSION = {
    "pywire._rust.relay": ("pywire.relay",),
    "pywire._rust.wire": ("pywire.wire", "pywire.testing"),
}
ONLY_USER = {"pglast": "pywire.wire.classify"}


def layer(module: str) -> int | None:
    """The layer of a module, by the longest row that is it or holds it."""
    name = module
    while name != "pywire" and name not in LAYERS:
        name = name.rpartition(".")[0]
    return LAYERS[name] if name != "pywire" or module == "pywire" else None


def imports(path) -> Iterator[tuple[int, str]]:
    """Every module that is imported anywhere in a file, also inside functions."""
    package = (
        module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    )
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            for alias in node.names:
                # `from pywire import supervisor` and `from pywire.wire import messages` name modules
                full = f"{base}.{alias.name}"
                yield node.lineno, full if full in MODULES or full in EXTENSION else base


MODULES = {module_name(path) for path in python_files()}


@pytest.mark.parametrize("path", python_files(), ids=lambda path: module_name(path))
def test_a_module_has_a_layer_and_imports_only_downwards(path):
    own = layer(module_name(path))
    assert own is not None, f"{place(path)}: give it a layer in tests/tidy/test_layers.py"
    for line, name in imports(path):
        if name.startswith("pywire") and not name.startswith("pywire._rust"):
            other = layer(name)
            assert other is not None, f"{place(path, line)}: {name} has no layer"
            assert other <= own, f"{place(path, line)}: layer {own} imports {name} of layer {other}"


@pytest.mark.parametrize("path", python_files(), ids=lambda path: module_name(path))
def test_a_pure_module_neither_waits_nor_guesses(path):
    if layer(module_name(path)) > PURE_UP_TO:
        return
    for line, name in imports(path):
        assert name.partition(".")[0] not in IMPURE, f"{place(path, line)}: {name} in a pure layer"


def test_the_extension_and_the_parser_have_one_user_each():
    for path in python_files():
        module = module_name(path)
        for line, name in imports(path):
            for extension, users in EXTENSION.items():
                if name.startswith(extension):
                    assert module.startswith(users), f"{place(path, line)}: {module} uses {name}"
            only = ONLY_USER.get(name.partition(".")[0])
            assert only in (None, module), f"{place(path, line)}: {name} belongs to {only}"
            assert name.partition(".")[0] != "asyncio", (
                f"{place(path, line)}: this is a trio program"
            )


def test_the_rules_would_notice_a_breach():
    assert layer("pywire.cluster.decide") == 2
    assert layer("pywire.cluster.probe") == 4
    assert layer("pywire.config.model") == 0
    assert layer("pywire.unknown") is None
