"""A secret never reaches a repr, and with it a log line or a traceback."""

import ast
import re

import pytest

from tests.tidy.tree import parsed, place, python_files

SECRET = re.compile(
    r"(^|_)(password|passphrase|secret|private_key|client_key|server_key|stored_key|"
    r"salted_password|verifier|rolpassword)$"
)


def is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def hides(node: ast.ClassDef) -> bool:
    """Whether the class writes its own repr, or has none made."""
    own = any(isinstance(item, ast.FunctionDef) and item.name == "__repr__" for item in node.body)
    return own or any("repr=False" in ast.unparse(d) for d in node.decorator_list)


@pytest.mark.parametrize("path", python_files(), ids=place)
def test_a_dataclass_hides_its_secrets(path):
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.ClassDef) or not is_dataclass(node) or hides(node):
            continue
        for item in node.body:
            if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
                continue
            if SECRET.search(item.target.id) and "bool" not in ast.unparse(item.annotation):
                value = ast.unparse(item.value) if item.value else ""
                assert "repr=False" in value, (
                    f"{place(path, item.lineno)}: {node.name}.{item.target.id}: "
                    "say field(repr=False) or write a __repr__"
                )


def test_no_event_has_room_for_a_secret():
    from pywire.events import every_event

    for kind in every_event():
        for name in kind.__dataclass_fields__:
            assert not SECRET.search(name), f"{kind.__name__}.{name}"
