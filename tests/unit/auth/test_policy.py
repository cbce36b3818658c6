"""Who counts as local, and what the configuration says."""

import pytest

from pywire.auth.policy import LoginPolicy, is_loopback
from pywire.config.model import AdminConfig, LoginConfig


@pytest.mark.parametrize(
    "peer", ["127.0.0.1:5", "127.9.9.9:1", "[::1]:7", "[::ffff:127.0.0.1]:7", "local"]
)
def test_this_machine_is_local(peer):
    assert is_loopback(peer)


@pytest.mark.parametrize(
    "peer",
    [
        "10.0.0.1:5",
        "[::2]:1",
        "[2001:db8::1]:7",
        "128.0.0.1:1",
        "[::1f]:1",
        "1.127.0.0:1",
        "",
        "unknown",
    ],
)
def test_other_machines_are_not(peer):
    assert not is_loopback(peer)


def test_the_policy_is_what_the_configuration_says():
    policy = LoginPolicy.from_config(
        LoginConfig(sessions_max=7, auth="md5"), AdminConfig(users=("ann",))
    )
    assert policy.sessions_max == 7
    assert policy.auth == "md5"
    assert policy.admin_users == {"ann"}
