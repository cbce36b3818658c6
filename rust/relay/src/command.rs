//! What the control plane asks of a worker. Commands only enqueue; effects come as notes.

use std::os::fd::OwnedFd;

use crate::note::LinkId;
use crate::tls::{ClientContext, ServerContext};

/// When a hold takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldMode {
    /// At a request boundary, everything answered, outside a transaction.
    Idle,
    /// At the next request boundary, whatever is outstanding.
    Requests,
}

/// How to open a backend link.
#[derive(Debug)]
pub struct Dial {
    /// The TLS context, if TLS is to be asked for.
    pub tls: Option<ClientContext>,
    /// Whether a host without TLS is refused.
    pub tls_required: bool,
    /// Whether TLS begins without an SSLRequest.
    pub direct_tls: bool,
    /// The name for SNI and for checking the certificate.
    pub server_name: String,
    /// What to send when the link is up.
    pub hello: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum Command {
    Listen {
        listener: u64,
        fd: OwnedFd,
        tls: Option<ServerContext>,
    },
    Unlisten {
        listener: u64,
    },
    SetListenerTls {
        listener: u64,
        tls: Option<ServerContext>,
    },
    Adopt {
        fd: OwnedFd,
        listener: u64,
        peer: String,
        tls: Option<ServerContext>,
    },
    Dial {
        link: LinkId,
        fd: OwnedFd,
        dial: Box<Dial>,
    },
    Send {
        link: LinkId,
        data: Vec<u8>,
    },
    Pair {
        client: LinkId,
        backend: LinkId,
        generation: u64,
        hello: Vec<u8>,
    },
    Hold {
        session: LinkId,
        generation: u64,
        mode: HoldMode,
    },
    Release {
        session: LinkId,
        generation: u64,
    },
    Inject {
        session: LinkId,
        generation: u64,
        data: Vec<u8>,
    },
    CutOver {
        session: LinkId,
        generation: u64,
        backend: LinkId,
        hello: Vec<u8>,
    },
    Close {
        link: LinkId,
        farewell: Vec<u8>,
    },
    Stop,
}
