"""Commands that the pages tell people to type exist."""

import re
from pathlib import Path

import pytest

from pywire import cli
from pywire.admin.parser import parse

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def code(page: Path) -> str:
    """The code in a page: blocks and quoted words."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", text)])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_make_target_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"^make ([a-z-]+)", code(page), re.MULTILINE):
        assert target in targets, f"{page.relative_to(ROOT)}: make {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_subcommand_exists(page):
    known = set(cli.parser()._actions[-1].choices)
    for command in re.findall(r"\bpywire (run|check|ctl|demo|[a-z-]+) --config", code(page)):
        assert command in known, f"{page.relative_to(ROOT)}: pywire {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_an_admin_command_is_understood(page):
    for command in re.findall(r'pywire ctl --config \S+ "([^"]+)"', code(page)):
        parse(command)


def test_make_help_names_every_target_people_use():
    makefile = (ROOT / "Makefile").read_text()
    for target in ("setup", "build", "wheel", "lint", "format", "test", "demo", "bench", "docs"):
        assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE), target
