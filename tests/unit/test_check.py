import io
import os
from pathlib import Path

import pytest

from pywire import check
from pywire.cli import ExitCode
from pywire.config import ConfigError

LEAST = """
[cluster.main]
[[cluster.main.host]]
name = "a"
address = "127.0.0.1:15432"
"""


def run(tmp_path, text):
    path = tmp_path / "pywire.toml"
    path.write_text(text)
    out = io.StringIO()
    return check.main(path, out), out.getvalue()


def test_what_is_fine_is_said(tmp_path):
    code, out = run(tmp_path, LEAST)
    assert code == ExitCode.OK
    assert "host a: 127.0.0.1:15432, not controlled by pywire" in out
    assert out.endswith("the configuration is fine\n")


def test_files_that_are_not_there_are_problems(tmp_path):
    code, out = run(
        tmp_path,
        LEAST.replace("[cluster.main]", '[cluster.main]\nservice_password_file = "secret"')
        + 'data_directory = "pg"\nbin_directory = "bin"\nrun_as = "postgres"',
    )
    assert code == ExitCode.CONFIGURATION
    lines = out.splitlines()
    assert any("cluster.main.service_password_file: " in line for line in lines)
    assert any("host[0].data_directory: " in line for line in lines)
    assert any("has no pg_ctl" in line for line in lines)


def test_a_password_is_checked_and_never_shown(tmp_path):
    text = LEAST.replace("[cluster.main]", '[cluster.main]\nservice_password_file = "secret"')
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    secret.chmod(0o644)
    code, out = run(tmp_path, text)
    assert code == ExitCode.OK
    assert "warning: cluster.main.service_password_file: others can use" in out
    assert "hunter2" not in out
    secret.chmod(0o600)
    assert "warning" not in run(tmp_path, text)[1]
    secret.write_text("\n")
    code, out = run(tmp_path, text)
    assert code == ExitCode.CONFIGURATION
    assert "is empty" in out


def test_a_certificate_that_is_none_is_a_problem(tmp_path):
    (tmp_path / "crt").write_text("no certificate")
    (tmp_path / "key").write_text("no key")
    tls = '[listen]\ntls_mode = "allow"\ntls_certificate_file = "crt"\ntls_key_file = "key"\n'
    code, out = run(tmp_path, tls + LEAST)
    assert code == ExitCode.CONFIGURATION
    assert "listen.tls_key_file: with its certificate: " in out


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_one_problem(tmp_path, content):
    path = tmp_path / "pywire.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        check.load(path)
    assert len(caught.value.problems) == 1


def test_a_relative_file_name_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pywire.toml").write_text(LEAST + 'unix_socket = "s"')
    host = check.load(Path("pywire.toml")).cluster.hosts[0]
    assert os.path.isabs(host.unix_socket)
