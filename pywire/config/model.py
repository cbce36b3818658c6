"""Every section and field of the configuration, with its default, meaning and advice.

Frozen values; units are in the names; a limit of 0 means "no limit" where the meaning says so.
How they are read is `parse`'s business, what contradicts what is `check`'s.
"""

from dataclasses import dataclass, field
from pathlib import Path

from pywire.config.address import Address, unix_socket_path
from pywire.config.setting import setting

VERIFIER_QUERY = (
    "SELECT rolname, rolpassword, rolcanlogin, coalesce(rolvaliduntil < now(), false)"
    " FROM pg_catalog.pg_authid WHERE rolname = $1"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenConfig:
    """Where clients connect, and how they are spoken to there."""

    address: str = setting(
        "127.0.0.1",
        meaning='The IP address to accept clients on; "*" is all of them.',
        advice="Leave it on the loopback until TLS and a login method are set up.",
        restart=True,
    )
    port: int = setting(
        6432,
        meaning="The TCP port to accept clients on.",
        advice="Take 5432 where pywire stands in for the server that applications know.",
        minimum=1,
        maximum=65535,
        restart=True,
    )
    backlog: int = setting(
        1024,
        meaning="How many connections may wait in the kernel to be accepted.",
        advice="The kernel cuts it down to net.core.somaxconn; raise both together.",
        minimum=1,
        restart=True,
    )
    tls_mode: str = setting(
        "disable",
        meaning="Whether clients may (allow) or must (require) use TLS, or cannot (disable).",
        advice="Use require on every network that is not the loopback.",
        choices=("disable", "allow", "require"),
    )
    tls_certificate_file: Path | None = setting(
        None,
        meaning="The certificate chain shown to clients, in PEM, own certificate first.",
        advice="Replace the file and reload; sessions that are open keep what they have.",
        example="server.crt",
    )
    tls_key_file: Path | None = setting(
        None,
        meaning="The private key that belongs to the certificate, in PEM, without a passphrase.",
        advice="Let only pywire's user read it.",
        example="server.key",
    )
    tls_client_ca_file: Path | None = setting(
        None,
        meaning="The authorities that client certificates are checked against, in PEM.",
        advice='Needed for auth = "cert"; with another method it asks for both proofs.',
        example="client_ca.crt",
    )
    direct_tls: bool = setting(
        True,
        meaning="Whether a client may begin TLS at once (PostgreSQL 17's sslnegotiation=direct).",
        advice="Leave it on: it costs nothing and saves such clients a round trip.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """The threads that carry the bytes."""

    workers: int = setting(
        0,
        meaning="How many threads relay; 0 is one for every two cores, at most 4.",
        advice="One thread carries tens of thousands of transactions a second; rarely raise it.",
        minimum=0,
        maximum=64,
        restart=True,
    )
    driver: str = setting(
        "auto",
        meaning="How the threads wait for sockets: epoll, io_uring, or auto to take what works.",
        advice="Leave it on auto; SHOW VERSION tells which one was taken.",
        choices=("auto", "epoll", "io_uring"),
        restart=True,
    )
    receive_bytes: int = setting(
        65536,
        meaning="How much a thread reads from one socket at once (io_uring: at most 32 KiB).",
        advice="The buffers belong to threads, not to sessions; larger ones outgrow the caches.",
        minimum=4096,
        maximum=16777216,
        restart=True,
    )
    notes_max: int = setting(
        65536,
        meaning="How many notes from the threads may wait for Python before the threads pause.",
        advice="Nothing is dropped when it is full; leave it.",
        minimum=64,
        restart=True,
    )
    message_bytes_max: int = setting(
        1048576,
        meaning="The longest message pywire itself takes whole: in logins and its own requests.",
        advice="Relayed messages stream through and are not limited by it; leave it.",
        minimum=16384,
        maximum=1073741823,
        restart=True,
    )
    statements_bytes_max: int = setting(
        1048576,
        meaning="How many bytes of a session's prepared statements are kept, to recreate them.",
        advice="A session with more cannot be moved; raise it for clients that prepare a lot.",
        minimum=0,
        restart=True,
    )
    tcp_user_timeout_ms: int = setting(
        0,
        meaning="After how long unacknowledged bytes break a connection; 0 is the kernel's own.",
        advice="10000 notices a host that vanished while a request was on its way to it.",
        minimum=0,
        restart=True,
    )
    keepalive_idle_seconds: int = setting(
        60,
        meaning="After how long a silent connection is probed; 0 turns probing off.",
        advice="Keep it below what the firewalls in between forget connections after.",
        minimum=0,
        restart=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginConfig:
    """How clients prove who they are, and how many there may be."""

    auth: str = setting(
        "scram-sha-256",
        meaning="What clients must show: scram-sha-256, md5, password, cert, or nothing (trust).",
        advice="Only with scram-sha-256 and trust can pywire log in again without the client.",
        choices=("scram-sha-256", "trust", "cert", "md5", "password"),
    )
    trust_anywhere: bool = setting(
        False,
        meaning='Whether auth = "trust" may be used on an address that others can reach.',
        advice="Never on a network with anybody else on it.",
    )
    startup_seconds_max: float = setting(
        60.0,
        meaning="How long a client may take from its connection to its login.",
        advice="Lower it where the listener faces strangers.",
        minimum=0.1,
        restart=True,
    )
    startups_max: int = setting(
        10000,
        meaning="How many connections may be without a login at the same time.",
        advice="When it is reached the oldest of them has to go, so strangers cannot lock you out.",
        minimum=1,
        restart=True,
    )
    sessions_max: int = setting(
        0,
        meaning="How many sessions there may be; 0 is no limit but the hosts' own.",
        advice="Keep it below the hosts' max_connections, less the reserved ones.",
        minimum=0,
    )
    sessions_per_user_max: int = setting(
        0,
        meaning="How many sessions one user may have; 0 is no limit.",
        advice="Set it where one application must not crowd out the others.",
        minimum=0,
    )
    sessions_per_host_max: int = setting(
        0,
        meaning="How many sessions pywire may have on one host; 0 is no limit but the host's.",
        advice="After a switchover all sessions of a cluster are on one host: allow for it.",
        minimum=0,
    )
    verifier_cache_seconds_max: float = setting(
        60.0,
        meaning="How long a password verifier read from the primary may be used again; 0 is never.",
        advice="A changed password is noticed at once if it is wrong, after this if it was right.",
        minimum=0.0,
    )
    verifier_query: str = setting(
        VERIFIER_QUERY,
        meaning="What the service user asks for a user ($1): name, verifier, may log in, has expired.",
        advice="Call a SECURITY DEFINER function where the service user is no superuser.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationConfig:
    """How sessions are moved between hosts."""

    pause_seconds_max: float = setting(
        10.0,
        meaning="How long one attempt may hold a session's requests; then it goes on where it was.",
        advice="Stay below the statement timeout of your applications.",
        minimum=0.01,
    )
    attempts_max: int = setting(
        3,
        meaning="How many times a session is tried before it stays where it is.",
        advice="More attempts help where transactions are long and pauses short.",
        minimum=1,
    )
    concurrency_max: int = setting(
        32,
        meaning="How many sessions are moved at the same time.",
        advice="Each opens a backend on the target: mind how fast that host forks.",
        minimum=1,
    )
    drain_seconds_max: float = setting(
        30.0,
        meaning="How long a switchover or a shutdown waits for transactions to end by themselves.",
        advice="Set it to your longest transaction that deserves to finish.",
        minimum=0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminConfig:
    """The admin console: a database name on the listener."""

    users: tuple[str, ...] = setting(
        (),
        meaning="Who may give admin commands; they log in as for any database.",
        advice="Name people and jobs, never an application's user.",
        example=["postgres"],
    )
    database: str = setting(
        "pywire",
        meaning="The database name that means the admin console.",
        advice="Change it only if you have a database of that name.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """What is written to stderr."""

    format: str = setting(
        "text",
        meaning="One line of text or one JSON object per event.",
        advice="Use json where a machine reads it.",
        choices=("text", "json"),
    )
    level: str = setting(
        "info",
        meaning="The least that is written: debug, info, warning or error.",
        advice="debug adds the beginning and end of every session, at the price of the events.",
        choices=("debug", "info", "warning", "error"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """One PostgreSQL instance of a cluster."""

    name: str = setting(
        meaning="What the host is called in commands, logs and views.",
        advice="Short, and not after its role: roles change.",
        example="a",
        restart=True,
    )
    address: Address = setting(
        meaning='Where it listens: "host:port", "[v6]:port" or "/directory:port" (Unix socket).',
        advice="Give an IP address if a slow name service must not slow logins.",
        example="127.0.0.1:15432",
        restart=True,
    )
    unix_socket: Path | None = setting(
        None,
        meaning="The directory of its Unix socket, used instead of TCP if pywire can reach it.",
        advice="Give it where pywire runs beside the server: it is cheaper than TCP on one machine.",
        example="/var/run/postgresql",
        restart=True,
    )
    data_directory: Path | None = setting(
        None,
        meaning="Its data directory, given only where pywire itself starts and promotes it.",
        advice="Leave it out where something else looks after the server.",
        example="pg/a",
        restart=True,
    )
    bin_directory: Path | None = setting(
        None,
        meaning="Where its pg_ctl and the other programs are.",
        advice="Must be of the major version that made the data directory.",
        example="/usr/lib/postgresql/15/bin",
        restart=True,
    )
    run_as: str | None = setting(
        None,
        meaning="The operating system user that owns the data directory.",
        advice="Needed if pywire runs as root, since PostgreSQL refuses to.",
        example="postgres",
        restart=True,
    )

    @property
    def controlled(self) -> bool:
        """Whether pywire itself starts, stops and promotes this server."""
        return self.data_directory is not None

    @property
    def unix_path(self) -> str | None:
        """The path of the Unix socket to prefer, if there is one."""
        if self.unix_socket is not None:
            return unix_socket_path(str(self.unix_socket), self.address.port)
        return self.address.unix_path


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """A primary and its standbys, of which any may become primary."""

    name: str = field(metadata={})
    source: str = setting(
        "pywire",
        meaning="Who decides which host is primary; so far only pywire itself can.",
        advice="Leave it.",
        choices=("pywire",),
        restart=True,
    )
    service_user: str = setting(
        "postgres",
        meaning="The user pywire logs in as, to ask hosts about themselves and for verifiers.",
        advice="Must be the same on every host, which streaming replication sees to.",
        restart=True,
    )
    service_password_file: Path | None = setting(
        None,
        meaning="A file whose first line is the service user's password.",
        advice="Let only pywire's user read it; leave it out where the hosts ask for none.",
        example="service_password",
        restart=True,
    )
    service_database: str = setting(
        "postgres",
        meaning="The database pywire connects to for itself.",
        advice="One that is never dropped.",
        restart=True,
    )
    probe_interval_seconds: float = setting(
        1.0,
        meaning="How often every host is asked for its role and position.",
        advice="A lost primary is noticed after about this and the timeout together.",
        minimum=0.05,
        restart=True,
    )
    probe_timeout_seconds: float = setting(
        3.0,
        meaning="After how long an unanswered question counts as no answer.",
        advice="Longer than a checkpoint makes your hosts stall.",
        minimum=0.05,
        restart=True,
    )
    connect_timeout_seconds: float = setting(
        5.0,
        meaning="How long a connection to a host may take, login included.",
        advice="A client waits this long for its error when a host is gone.",
        minimum=0.05,
        restart=True,
    )
    sslmode: str = setting(
        "prefer",
        meaning="How TLS is used towards the hosts, with libpq's meanings.",
        advice="Use verify-full on every network that is not the loopback.",
        choices=("disable", "prefer", "require", "verify-ca", "verify-full"),
        restart=True,
    )
    tls_ca_file: Path | None = setting(
        None,
        meaning="The authorities that the hosts' certificates are checked against, in PEM.",
        advice="Needed for verify-ca and verify-full.",
        example="host_ca.crt",
        restart=True,
    )
    tls_certificate_file: Path | None = setting(
        None,
        meaning="The certificate pywire shows to the hosts, in PEM.",
        advice="Only where pg_hba.conf asks for one.",
        example="pywire.crt",
        restart=True,
    )
    tls_key_file: Path | None = setting(
        None,
        meaning="The private key that belongs to that certificate, in PEM.",
        advice="Let only pywire's user read it.",
        example="pywire.key",
        restart=True,
    )
    hosts: tuple[HostConfig, ...] = field(metadata={})

    def host(self, name: str) -> HostConfig | None:
        """The host of that name, if there is one."""
        return next((host for host in self.hosts if host.name == name), None)
