//! What the engine tells the control plane. Plain data, no borrowed bytes.

use crate::tls::TlsInfo;

/// Names a link for as long as the engine lives; never used twice.
///
/// The worker in the highest 8 bits, a serial number in the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

impl LinkId {
    pub(crate) fn new(worker: usize, serial: u64) -> Self {
        Self((worker as u64) << 56 | (serial & 0x00ff_ffff_ffff_ffff))
    }

    pub(crate) fn worker(self) -> usize {
        (self.0 >> 56) as usize
    }
}

/// One thing that happened. The session's id is its client link's id.
#[derive(Clone, Debug)]
pub enum Note {
    /// A client has sent its startup packet, over TLS if `tls` says so.
    Opened {
        /// The client link.
        link: LinkId,
        /// The listener that accepted it.
        listener: u64,
        /// The client's address, `host:port`, or `local`.
        peer: String,
        /// The protocol version asked for: major in the high, minor in the low 16 bits.
        protocol: u32,
        /// The packet's body behind the protocol version: names and values, verbatim.
        startup: Vec<u8>,
        /// What TLS has agreed on.
        tls: Option<Box<TlsInfo>>,
    },
    /// A client asks that somebody's statement be cancelled.
    CancelRequested {
        /// The link that the request came on.
        link: LinkId,
        /// The process id that the client was given.
        process_id: u32,
        /// The secret key that the client was given, 4 to 256 bytes.
        key: Vec<u8>,
        /// The client's address.
        peer: String,
    },
    /// A backend link is up (with TLS if asked for) and its `hello` has been sent.
    Connected {
        /// The backend link.
        link: LinkId,
        /// What TLS has agreed on.
        tls: Option<Box<TlsInfo>>,
    },
    /// Whole messages, verbatim: of a link in message mode, or replies to injected requests.
    Messages {
        /// The link that they came on; for replies, the session's backend link.
        link: LinkId,
        /// One or more messages, header and all.
        data: Vec<u8>,
    },
    /// The client's next request waits at a boundary.
    Held {
        /// The session.
        session: LinkId,
        /// The generation that the hold was asked for under.
        generation: u64,
        /// The last ReadyForQuery's status.
        status: u8,
        /// Whether every request has been answered.
        quiescent: bool,
        /// Requests so far that end in ReadyForQuery.
        requests: u64,
        /// What the statements so far may have done to the session (`StatementFlags`).
        flags: u32,
        /// The Parse messages of the named prepared statements, verbatim.
        statements: Vec<Vec<u8>>,
        /// The Parse message of the unnamed prepared statement.
        unnamed: Option<Vec<u8>>,
    },
    /// The session lives on its new backend.
    CutOver {
        /// The session.
        session: LinkId,
        /// The generation of the move.
        generation: u64,
    },
    /// A command came too late or in the wrong state, and was not obeyed.
    Refused {
        /// The session.
        session: LinkId,
        /// The generation of the command.
        generation: u64,
        /// The command's name.
        command: &'static str,
        /// Why, in a few words.
        reason: &'static str,
    },
    /// The host has reported a parameter of a session.
    ParameterChanged {
        /// The session.
        session: LinkId,
        /// The parameter.
        name: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// A session's statements have first shown words that may carry session state.
    Flagged {
        /// The session.
        session: LinkId,
        /// What is new among them (`StatementFlags`).
        flags: u32,
    },
    /// The link is gone, its sockets closed. The last note of every link.
    Closed {
        /// The link.
        link: LinkId,
        /// Why, in a few words.
        reason: String,
    },
}
