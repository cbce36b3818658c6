//! One connection, of a client or to a host, and where it stands.

use std::os::fd::OwnedFd;
use std::time::Instant;

use crate::command::Dial;
use crate::note::LinkId;
use crate::session::Session;
use crate::tls::{ServerContext, Tls};

/// The slot of no link.
pub(crate) const NOBODY: u32 = u32::MAX;

/// Why a link is not being read. Bits, as several reasons may hold at once.
pub(crate) mod pause {
    /// The other side of the session has not taken what it was sent.
    pub(crate) const CLOGGED: u8 = 1;
    /// The client's next request waits.
    pub(crate) const HELD: u8 = 2;
    /// The peer has closed its direction: there is nothing left to read.
    pub(crate) const ENDED: u8 = 4;
    /// The control plane has not answered what it was told already.
    pub(crate) const UNANSWERED: u8 = 8;
}

/// A client before its startup packet is complete.
#[derive(Debug)]
pub(crate) struct Preface {
    pub(crate) listener: u64,
    pub(crate) peer: String,
    pub(crate) tls: Option<ServerContext>,
    /// TLS and GSSAPI encryption may each be asked for once.
    pub(crate) tls_asked: bool,
    pub(crate) gss_asked: bool,
}

#[derive(Debug)]
pub(crate) enum Stage {
    Preface(Box<Preface>),
    /// A backend link whose connect is under way.
    Connecting(Box<Dial>),
    /// A backend link that has sent SSLRequest and awaits one byte.
    TlsAsked(Box<Dial>),
    /// A backend link in its TLS handshake.
    TlsHandshake(Box<Dial>),
    /// Whole messages go to the control plane, which answers.
    Messages,
    /// One side of a session.
    Relayed,
    /// Everything is said; what is left is to be flushed.
    Closing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Backend,
}

/// The bytes of an incomplete message header: the start of the next chunk's scan.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stash {
    bytes: [u8; 4],
    length: u8,
}

impl Stash {
    /// Keeps `rest`, which the tracker guarantees to be shorter than a header.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.bytes[..rest.len()].copy_from_slice(rest);
        self.length = rest.len() as u8;
    }

    pub(crate) fn take(&mut self) -> ([u8; 4], usize) {
        let length = usize::from(self.length);
        self.length = 0;
        (self.bytes, length)
    }
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) fd: OwnedFd,
    pub(crate) role: Role,
    pub(crate) stage: Stage,
    pub(crate) paused: u8,
    pub(crate) stash: Stash,
    /// The slot of the session's other link.
    pub(crate) peer: u32,
    pub(crate) tls: Option<Box<Tls>>,
    /// Received, and not passed on: an incomplete message, or a held request.
    pub(crate) input: Vec<u8>,
    /// Bytes told to the control plane since it last sent something.
    pub(crate) unanswered: usize,
    /// A client that nothing has been sent to: what it says already is for its session.
    pub(crate) unasked: bool,
    /// A host that has been told of its client's end of input.
    pub(crate) end_passed: bool,
    /// While closing: what it had still to be sent, and since when that is so.
    pub(crate) owed: Option<(usize, Instant)>,
    /// On a client link, once relayed.
    pub(crate) session: Option<Box<Session>>,
}

impl Link {
    pub(crate) fn new(id: LinkId, fd: OwnedFd, role: Role, stage: Stage) -> Self {
        Self {
            id,
            fd,
            role,
            stage,
            paused: 0,
            stash: Stash::default(),
            peer: NOBODY,
            tls: None,
            input: Vec::new(),
            unanswered: 0,
            unasked: role == Role::Client,
            end_passed: false,
            owed: None,
            session: None,
        }
    }
}
