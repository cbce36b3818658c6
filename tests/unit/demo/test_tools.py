"""What the demonstration finds on a machine, and what it says when something is missing."""

import importlib.util
import os
import pwd
import socket
from pathlib import Path

import pytest

from pywire.demo import tools
from pywire.demo.tools import Account, DemoError, find_programs, free_ports


def test_free_ports_are_distinct_and_free():
    ports = free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_we_are_the_account_unless_we_are_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    entry = pwd.struct_passwd(("me", "x", 4711, 4712, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: entry)
    assert Account.choose() == Account("me", 4711, 4712, borrowed=False)


def test_root_borrows_an_account(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    entry = pwd.struct_passwd(("nobody", "x", 65534, 65534, "", "/", "/bin/sh"))

    def getpwnam(name):
        if name == "postgres":
            raise KeyError(name)
        return entry

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    assert Account.choose() == Account("nobody", 65534, 65534, borrowed=True)


def test_without_an_account_root_is_told(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(tools, "BORROWED_ACCOUNTS", ("no-such-account",))
    with pytest.raises(DemoError, match="no-such-account"):
        Account.choose()


async def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    account = Account("me", os.geteuid(), os.getegid(), borrowed=False)
    with pytest.raises(DemoError, match=r"pip install 'pywire\[demo\]'"):
        await find_programs(account, tmp_path)


async def test_a_failing_program_is_an_error_with_its_words():
    account = Account("me", os.geteuid(), os.getegid(), borrowed=False)
    with pytest.raises(DemoError, match=r"sh failed \(exit code 3\):\nwords"):
        await account.run(Path("/bin/sh"), "-c", "echo words >&2; exit 3")
