import subprocess
import sys

import pytest

from pywire import cli

LEAST = '[cluster.main]\n[[cluster.main.host]]\nname = "a"\naddress = "127.0.0.1:15432"\n'


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("pywire ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["run"],
        ["run", "--conf", "x"],
        ["ctl", "--config", "x"],
        ["demo", "--clients", "0"],
        ["demo", "--seconds", "x"],
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == cli.ExitCode.USAGE
    assert capsys.readouterr().err


def test_help_names_every_command_and_exit_code(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    out = capsys.readouterr().out
    for word in ("run", "check", "ctl", "demo", "--version", "3 configuration"):
        assert word in out


def test_check_ends_with_0_or_3(tmp_path, capsys):
    path = tmp_path / "pywire.toml"
    path.write_text(LEAST)
    assert cli.main(["check", "--config", str(path)]) == cli.ExitCode.OK
    path.write_text("[listen]\nport = 0\nx = 1\n")
    assert cli.main(["check", "--config", str(path)]) == cli.ExitCode.CONFIGURATION
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{path}: listen.port: must be at least 1, not 0"
    assert len(lines) == 3


def test_a_missing_file_ends_with_3(tmp_path, capsys):
    assert cli.main(["check", "--config", str(tmp_path / "no.toml")]) == 3
    assert "cannot be read" in capsys.readouterr().err


def test_every_exit_code_is_documented():
    assert set(cli.EXIT_CODES) == set(cli.ExitCode)


def test_help_and_check_load_neither_trio_nor_the_extension():
    code = (
        "import sys, pywire, pywire.cli, pywire.check; "
        "sys.exit('trio' in sys.modules or 'pywire._rust' in sys.modules or 'rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_can_be_run_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "pywire", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("pywire ")
