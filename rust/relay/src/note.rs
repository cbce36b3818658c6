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
        link: LinkId,
        listener: u64,
        peer: String,
        protocol: u32,
        startup: Vec<u8>,
        tls: Option<Box<TlsInfo>>,
    },
    /// A client asks that somebody's statement be cancelled.
    CancelRequested { link: LinkId, process_id: u32, key: Vec<u8>, peer: String },
    /// A backend link is up (with TLS if asked for) and its `hello` has been sent.
    Connected { link: LinkId, tls: Option<Box<TlsInfo>> },
    /// Whole messages, verbatim: of a link in message mode, or replies to injected requests.
    Messages { link: LinkId, data: Vec<u8> },
    /// The client's next request waits at a boundary.
    Held {
        session: LinkId,
        generation: u64,
        status: u8,
        quiescent: bool,
        requests: u64,
        flags: u32,
        statements: Vec<Vec<u8>>,
        unnamed: Option<Vec<u8>>,
    },
    /// The session lives on its new backend.
    CutOver { session: LinkId, generation: u64 },
    /// A command came too late or in the wrong state, and was not obeyed.
    Refused { session: LinkId, generation: u64, command: &'static str, reason: &'static str },
    /// The host has reported a parameter of a session.
    ParameterChanged { session: LinkId, name: Vec<u8>, value: Vec<u8> },
    /// A session's statements have first shown words that may carry session state.
    Flagged { session: LinkId, flags: u32 },
    /// The link is gone, its sockets closed. The last note of every link.
    Closed { link: LinkId, reason: String },
}
