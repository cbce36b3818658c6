"""The reference pages and examples say what the code says."""

import importlib.util
from pathlib import Path

import pytest

from pywire.config import Config
from pywire.config.setting import settings

ROOT = Path(__file__).resolve().parents[2]


def generator():
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = generator()


@pytest.mark.parametrize("name", list(GENERATE.PAGES))
def test_a_made_file_is_up_to_date(name):
    assert (ROOT / name).read_text(encoding="utf-8") == GENERATE.PAGES[name](), "run: make docs"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=lambda p: p.name)
def test_an_example_can_be_used(path):
    Config.parse(path.read_text(encoding="utf-8"), path.parent)


def test_every_setting_is_in_the_reference_and_in_the_example():
    page = (ROOT / "docs/reference/configuration.md").read_text(encoding="utf-8")
    example = (ROOT / "examples/every_setting.toml").read_text(encoding="utf-8")
    for heading, _, kind in GENERATE.tables():
        section = page.partition(f"## `{heading}`")[2].partition("\n## ")[0]
        for item, about in settings(kind):
            assert f"| `{item.name}` |" in section, f"{heading}.{item.name}"
            assert f"{item.name} = " in example, f"{heading}.{item.name}"
            assert about.meaning.endswith("."), f"{heading}.{item.name}"
            assert about.advice.endswith("."), f"{heading}.{item.name}"


def test_the_example_with_everything_switched_on_is_understood():
    # Also the settings that are commented out: uncommented, no key may be unknown or mistyped.
    lines = (ROOT / "examples/every_setting.toml").read_text(encoding="utf-8").splitlines()
    text = "\n".join(
        line.removeprefix("# ") if " = " in line and line[2:3].islower() else line for line in lines
    )
    config = Config.parse(text.replace('tls_mode = "disable"', 'tls_mode = "allow"'), ROOT)
    assert config.listen.tls_key_file is not None
    assert config.cluster.hosts[0].run_as == "postgres"


def test_the_readme_shows_the_example():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for line in (ROOT / "examples/two_hosts.toml").read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            assert line.split("#")[0].rstrip() in readme
