"""Who may log in how: the `[login]` and `[admin]` sections, ready for use.

Pure. A reload makes a new policy; logins under way keep the one they began with.
"""

from dataclasses import dataclass
from typing import Self

from pywire.config.model import AdminConfig, LoginConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginPolicy:
    """How clients prove who they are, and how many there may be; a limit of 0 is none."""

    auth: str = "scram-sha-256"
    tls_required: bool = False
    trust_anywhere: bool = False
    startup_seconds_max: float = 60.0
    startups_max: int = 10_000
    sessions_max: int = 0
    sessions_per_user_max: int = 0
    sessions_per_host_max: int = 0
    admin_database: str = "pywire"
    admin_users: frozenset[str] = frozenset()

    @classmethod
    def from_config(
        cls, login: LoginConfig, admin: AdminConfig, *, tls_required: bool = False
    ) -> Self:
        """Take over what the configuration says."""
        return cls(
            auth=login.auth,
            tls_required=tls_required,
            trust_anywhere=login.trust_anywhere,
            startup_seconds_max=login.startup_seconds_max,
            startups_max=login.startups_max,
            sessions_max=login.sessions_max,
            sessions_per_user_max=login.sessions_per_user_max,
            sessions_per_host_max=login.sessions_per_host_max,
            admin_database=admin.database,
            admin_users=frozenset(admin.users),
        )


def is_loopback(peer: str) -> bool:
    """Whether a peer's address is this machine: a Unix socket, 127.0.0.0/8 or ::1."""
    return peer == "local" or peer.startswith(("127.", "[::1]:", "[::ffff:127."))
