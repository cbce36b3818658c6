from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from pywire.config import Address, Config, ConfigError, diff

LEAST = """
[cluster.main]
[[cluster.main.host]]
name = "a"
address = "127.0.0.1:15432"
"""
EXAMPLES = Path(__file__).parents[2] / "examples"


def parse(text, base="/etc/pywire"):
    return Config.parse(text, Path(base))


def problems(text):
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return [str(problem) for problem in caught.value.problems]


def test_only_a_cluster_and_a_host_must_be_given():
    config = parse(LEAST)
    assert config.listen.address == "127.0.0.1"
    assert config.listen.port == 6432
    assert config.login.auth == "scram-sha-256"
    assert config.cluster.name == "main"
    assert config.cluster.hosts[0].address == Address("127.0.0.1", 15432)
    assert not config.cluster.hosts[0].controlled


def test_the_documented_example_says_what_it_means():
    config = parse((EXAMPLES / "two_hosts.toml").read_text())
    assert config.admin.users == ("postgres",)
    cluster = config.clusters["main"]
    assert [host.name for host in cluster.hosts] == ["a", "b"]
    assert cluster.host("b").run_as == "postgres"
    assert cluster.host("c") is None
    assert cluster.hosts[0].controlled


def test_paths_are_relative_to_the_file():
    cluster = parse((EXAMPLES / "two_hosts.toml").read_text()).cluster
    assert cluster.service_password_file == Path("/etc/pywire/service_password")
    assert cluster.hosts[0].data_directory == Path("/etc/pywire/pg/a")
    assert cluster.hosts[0].bin_directory == Path("/usr/lib/postgresql/15/bin")


def test_a_configuration_cannot_be_changed():
    config = parse(LEAST)
    with pytest.raises(FrozenInstanceError):
        config.listen.port = 1
    with pytest.raises(TypeError):
        config.clusters["other"] = config.cluster


def test_every_problem_is_found_with_its_place():
    found = problems(
        """
        lissten = 1
        [listen]
        port = 0
        prot = 1
        tls_mode = "yes"
        [relay]
        workers = "two"
        [admin]
        users = "postgres"
        [cluster.main]
        probe_interval_seconds = true
        [[cluster.main.host]]
        address = "::1:5432"
        [[cluster.main.host]]
        name = "b"
        address = "127.0.0.1:x"
        """
    )
    assert found == [
        "listen.port: must be at least 1, not 0",
        "listen.tls_mode: must be one of disable, allow, require, not 'yes'",
        "listen.prot: there is no such setting",
        "relay.workers: must be a whole number, not 'two'",
        'admin.users: must be a list of texts, like ["postgres"]',
        "cluster.main.probe_interval_seconds: must be a number, not True",
        "cluster.main.host[0].name: must be given",
        'cluster.main.host[0].address: an IPv6 address is written "[address]:port"',
        "cluster.main.host[1].address: not a port: 'x' (a number from 1 to 65535)",
        "lissten: there is no such section",
    ]


def test_a_syntax_error_has_its_line():
    found = problems("[listen]\nport = = 1\n")
    assert len(found) == 1
    assert found[0].startswith("line 2, column 8: ")


@pytest.mark.parametrize("source", ["patroni", "probe"])
def test_sources_that_are_planned_are_refused_as_such(source):
    text = LEAST.replace("[cluster.main]", f'[cluster.main]\nsource = "{source}"')
    assert "not there yet" in problems(text)[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "cluster: at least one [cluster.NAME] must be given"),
        ("cluster = 1", "cluster: at least one [cluster.NAME] must be given"),
        ("[cluster]\nmain = 1", "cluster.main: a cluster is written [cluster.main]"),
        ("[cluster.main]", "cluster.main.host: at least one host must be given"),
        ("[cluster.main.host]\nname='a'", "cluster.main.host: a host is written [[cluster.main.host]]"),
        (LEAST + "[cluster.other]\n[[cluster.other.host]]\nname='a'\naddress='b'", "cluster: only one"),
        ("listen = 1" + LEAST, "listen: a section is written [listen]"),
        ("[listen]\naddress = 'db1'" + LEAST, "listen.address: not an IP address"),
        ("[listen]\nport = 65536" + LEAST, "listen.port: must be at most 65535"),
        ("[listen]\nport = 6432.5" + LEAST, "listen.port: must be a whole number, not 6432.5"),
        ("[listen]\nport = true" + LEAST, "listen.port: must be a whole number, not True"),
        ("[listen]\ndirect_tls = 1" + LEAST, "listen.direct_tls: must be true or false, not 1"),
        ("[listen]\naddress = ''" + LEAST, "listen.address: must not be empty"),
        ("[listen]\ntls_mode='allow'" + LEAST, "listen.tls_certificate_file: must be given if"),
        ("[listen]\ntls_key_file='k'" + LEAST, "listen.tls_key_file: has no use while"),
        ("[migration]\npause_seconds_max = nan" + LEAST, "migration.pause_seconds_max: must be a n"),
        ("[login]\nauth='trust'\n[listen]\naddress='*'" + LEAST, 'login.auth: "trust" on * lets'),
        ("[login]\nauth='cert'" + LEAST, 'login.auth: "cert" needs listen.tls_mode = "require"'),
        (
            "[login]\nsessions_max=10\nsessions_per_user_max=11" + LEAST,
            "login.sessions_per_user_max: is more than sessions_max (10)",
        ),
        ("[login]\nverifier_query='SELECT 1'" + LEAST, "login.verifier_query: must have $1"),
        ("[admin]\nusers=['a','a']" + LEAST, "admin.users: names somebody twice"),
        ("[admin]\nusers=['']" + LEAST, "admin.users: has an empty name"),
        (LEAST.replace("[cluster.main]", "[cluster.main]\nsslmode='verify-full'"), "cluster.main.tls_ca_file: must"),
        (LEAST.replace("[cluster.main]", "[cluster.main]\ntls_key_file='k'"), "cluster.main.tls_certificate_file: cert"),
        (LEAST.replace("main", "'1 2'"), "cluster.1 2: a name has letters"),
        (LEAST.replace('"a"', '"a b"'), "cluster.main.host[0].name: a name has letters"),
        (LEAST + "[[cluster.main.host]]\nname='a'\naddress='x'", "cluster.main.host[1].name: \"a\" is the name of host[0]"),
        (LEAST + "[[cluster.main.host]]\nname='b'\naddress='127.0.0.1:15432'", "cluster.main.host[1].address: is the address of"),
        (LEAST + "data_directory='d'", "cluster.main.host[0].bin_directory: must be given with"),
        (LEAST + "run_as='d'", "cluster.main.host[0].run_as: has no use without"),
        (LEAST.replace("127.0.0.1", "/tmp") + "unix_socket='/tmp'", "cluster.main.host[0].unix_socket: has no"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text, problem):
    assert problems(text)[0].startswith(problem)


def test_trust_is_for_the_loopback_unless_forced():
    for address in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        parse(f"[login]\nauth='trust'\n[listen]\naddress='{address}'" + LEAST)
    parse("[login]\nauth='trust'\ntrust_anywhere=true\n[listen]\naddress='*'" + LEAST)


def test_a_whole_number_will_do_for_a_number_of_seconds():
    config = parse("[migration]\npause_seconds_max = 2" + LEAST)
    assert config.migration.pause_seconds_max == 2.0
    assert isinstance(config.migration.pause_seconds_max, float)


@pytest.mark.parametrize(
    ("text", "host", "port", "written"),
    [
        ("db1:5433", "db1", 5433, "db1:5433"),
        ("db1", "db1", 5432, "db1:5432"),
        ("[::1]:5433", "::1", 5433, "[::1]:5433"),
        ("[::1]", "::1", 5432, "[::1]:5432"),
        ("/var/run/postgresql:5433", "/var/run/postgresql", 5433, "/var/run/postgresql:5433"),
        ("/tmp", "/tmp", 5432, "/tmp:5432"),
        ("/tmp/:1", "/tmp", 1, "/tmp:1"),
    ],
)
def test_addresses_are_read(text, host, port, written):
    address = Address.parse(text)
    assert address == Address(host, port)
    assert str(address) == written
    assert Address.parse(written) == address


@pytest.mark.parametrize(
    "text", ["", ":5432", "a:", "[::1", "[::1]x", "::1", "a:b:1", "a:0", "a:65536", "a:٣", "a b:1"]
)
def test_what_is_no_address_is_refused(text):
    if text == "a:":
        assert Address.parse(text) == Address("a", 5432)
        return
    with pytest.raises(ValueError, match=r"address|port"):
        Address.parse(text)


def test_a_unix_socket_is_found_by_postgresqls_convention():
    config = parse(LEAST.replace("127.0.0.1:15432", "/run/pg:5433"))
    assert config.cluster.hosts[0].unix_path == "/run/pg/.s.PGSQL.5433"
    config = parse(LEAST + "unix_socket = 'sockets'")
    assert config.cluster.hosts[0].unix_path == "/etc/pywire/sockets/.s.PGSQL.15432"
    assert parse(LEAST).cluster.hosts[0].unix_path is None


def test_a_difference_says_what_needs_a_restart():
    old = parse(LEAST)
    new = parse('[listen]\nport = 1\n[log]\nlevel = "debug"' + LEAST)
    changes = diff(old, new)
    assert [(str(c), c.restart_needed) for c in changes] == [
        ("listen.port", True),
        ("log.level", False),
    ]
    assert diff(old, parse(LEAST)) == []


def test_hosts_are_compared_by_name():
    old = parse(LEAST + '[[cluster.main.host]]\nname="b"\naddress="b"')
    new = parse(LEAST.replace('"a"', '"c"') + '[[cluster.main.host]]\nname="b"\naddress="d"')
    assert [str(c) for c in diff(old, new)] == [
        "cluster.main.host a",
        "cluster.main.host b.address",
        "cluster.main.host c",
    ]
    assert [str(c) for c in diff(old, parse(LEAST.replace("main", "shop")))] == [
        "cluster.main",
        "cluster.shop",
    ]
