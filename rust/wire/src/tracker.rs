//! The tracker: follows both directions of one session and knows when it is quiescent.
//!
//! It counts replies and never judges what clients do: a conversation it cannot follow is forwarded all
//! the same, and the session is reported as untracked, once. Only broken framing is an error.

use crate::error::{Side, Violation, WireError};
use crate::expected::{Expected, Request, Sent};
use crate::fields::Fields;
use crate::flags::StatementFlags;
use crate::frame::{self, Framer, MESSAGE_BYTES_MAX, Message};
use crate::journal::Journal;
use crate::protection::Protection;
use crate::scan::Scanner;
use crate::statements::Statements;
use crate::tag::frontend as tag;
use crate::transaction::TransactionStatus;

/// Whose a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The client's: forward it.
    Client,
    /// Ours: it answers what was injected, and the client must not see it.
    Own,
}

/// A fact worth telling the session's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note<'a> {
    /// The backend reported a parameter.
    ParameterStatus {
        /// The parameter's name.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// Something that may give the session state was seen for the first time: what is new.
    Statement(StatementFlags),
    /// The backend is about to end the connection.
    Fatal {
        /// Why; zeros if it did not say.
        sqlstate: [u8; 5],
    },
    /// The client says goodbye.
    Terminate,
    /// Replies are no longer understood. They are forwarded; the session cannot be quiescent again.
    Untracked(WireError),
}

/// Where notes go.
pub trait Sink {
    /// Takes one note.
    fn note(&mut self, note: Note<'_>);
}

impl<F: FnMut(Note<'_>)> Sink for F {
    fn note(&mut self, note: Note<'_>) {
        self(note);
    }
}

/// A run of bytes from the backend that belong to one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// How many; 0 if there is only part of a header.
    pub bytes: usize,
    /// Whose they are.
    pub owner: Owner,
}

/// Limits and switches of a tracker.
#[derive(Clone, Copy, Debug)]
pub struct TrackerConfig {
    /// The longest message of either side, as its length word counts. Lower it only to refuse more.
    pub message_bytes_max: u32,
    /// Bytes of Parse messages kept per session; a session with more cannot be moved.
    pub statements_bytes_max: usize,
    /// Keep a journal of the open transaction block and a digest of what the client was shown?
    pub protection: bool,
    /// Bytes of the journal; a block with more cannot be replayed.
    pub journal_bytes_max: usize,
    /// The key of all digests that are to be compared.
    pub digest_key: u128,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            message_bytes_max: MESSAGE_BYTES_MAX,
            statements_bytes_max: 1 << 20,
            protection: false,
            journal_bytes_max: 4 << 20,
            digest_key: 0,
        }
    }
}

/// What is known of one session after login.
#[derive(Debug)]
pub struct Tracker {
    pub(crate) frontend: Framer,
    pub(crate) backend: Framer,
    pub(crate) expected: Expected,
    pub(crate) statements: Statements,
    pub(crate) scanner: Scanner,
    /// A reply's body, if it came in pieces and is looked at whole.
    pub(crate) gathered: Vec<u8>,
    pub(crate) protection: Option<Box<Protection>>,
    /// Queries, FunctionCalls and Syncs the client has sent...
    pub(crate) requests: u64,
    /// ...and ReadyForQuery replies it was given.
    pub(crate) answered: u64,
    pub(crate) message_bytes_max: u32,
    pub(crate) flags: StatementFlags,
    pub(crate) fields: Fields,
    pub(crate) status: TransactionStatus,
    /// First byte of the Describe or Close message that is arriving; 0 before it.
    pub(crate) kind: u8,
    /// Whose the present reply is.
    pub(crate) reply_owner: Owner,
    pub(crate) untracked: bool,
    pub(crate) terminated: bool,
}

/// A: getters.
impl Tracker {
    /// A tracker for a session whose login is over: ReadyForQuery was sent with `status`.
    #[must_use]
    pub fn new(config: &TrackerConfig, status: TransactionStatus) -> Self {
        Self {
            frontend: Framer::default(),
            backend: Framer::default(),
            expected: Expected::default(),
            statements: Statements::new(config.statements_bytes_max),
            scanner: Scanner::default(),
            gathered: Vec::new(),
            protection: config.protection.then(|| Box::new(Protection::new(config))),
            requests: 0,
            answered: 0,
            message_bytes_max: config.message_bytes_max,
            flags: StatementFlags::NONE,
            fields: Fields::default(),
            status,
            kind: 0,
            reply_owner: Owner::Client,
            untracked: false,
            terminated: false,
        }
    }

    /// Is every request answered, both streams between two messages, and nothing unsynced?
    ///
    /// Bytes of a partial header still in the caller's hands are the caller's to consider.
    #[must_use]
    pub fn quiescent(&self) -> bool {
        self.frontend.at_boundary()
            && self.backend.at_boundary()
            && self.expected.is_quiescent()
            && !self.untracked
            && !self.terminated
    }

    /// What the last ReadyForQuery said.
    #[must_use]
    pub const fn status(&self) -> TransactionStatus {
        self.status
    }

    /// Could a new request begin here? That is: the frontend is between two messages, none of the
    /// extended query protocol is without its Sync, and no COPY IN waits for data.
    ///
    /// Replies change this too: CopyInResponse or ErrorResponse can show that the client must go on.
    #[must_use]
    #[inline]
    pub fn request_boundary(&self) -> bool {
        self.frontend.at_boundary()
            && self.expected.at_request_boundary()
            && !self.untracked
            && !self.terminated
    }

    /// All that has been seen so far that may give the session state.
    #[must_use]
    pub const fn flags(&self) -> StatementFlags {
        self.flags
    }

    /// Statements made with Parse.
    #[must_use]
    pub const fn statements(&self) -> &Statements {
        &self.statements
    }

    /// Are replies no longer understood?
    #[must_use]
    pub const fn untracked(&self) -> bool {
        self.untracked
    }

    /// Queries, FunctionCalls and Syncs the client has sent: names the statement in flight.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// ReadyForQuery messages the client has been sent in answer.
    #[must_use]
    pub const fn answered(&self) -> u64 {
        self.answered
    }

    /// Requests of either owner whose replies are awaited.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.expected.outstanding()
    }

    /// The journal, if the session is protected.
    #[must_use]
    pub fn journal(&self) -> Option<&Journal> {
        self.protection
            .as_ref()
            .map(|protection| &protection.journal)
    }

    /// The digest of the replies to the first request in flight, if the session is protected.
    #[must_use]
    pub fn digest(&self) -> Option<u128> {
        self.protection
            .as_ref()
            .map(|protection| protection.digest.value())
    }
}

/// C: mutators.
impl Tracker {
    /// Our own requests were sent to the backend: whole messages, ending where a request ends. Their
    /// replies come with [`Owner::Own`]. What they do to statements is not followed; mind that a Query,
    /// or a Parse without a name, takes the client's unnamed statement away.
    ///
    /// # Errors
    /// If the client is in the middle of a request, or the messages are not whole requests, or are part
    /// of a COPY. Then nothing may be sent and nothing has changed.
    pub fn inject<S: Sink>(&mut self, frames: &[u8], _sink: &mut S) -> Result<(), WireError> {
        if !self.request_boundary() {
            return Err(injection(Violation::InjectedInsideRequest, 0, 0));
        }
        let requests = injected(frames, self.message_bytes_max)?;
        for request in requests {
            if self.expected.send(request, Owner::Own) != Sent::Awaited {
                return Err(injection(Violation::InjectedInsideRequest, 0, 0));
            }
        }
        Ok(())
    }

    /// The session lives on another backend from now on, whose login ended with `status`. It must be
    /// quiescent. The statements stay as they are: they were made there too.
    pub fn reset_backend(&mut self, status: TransactionStatus) {
        debug_assert!(
            self.quiescent(),
            "a session that is not quiescent cannot change its backend"
        );
        self.backend = Framer::default();
        self.expected = Expected::default();
        self.gathered = Vec::new();
        self.status = status;
    }

    /// Adds to the flags, with a note about what is new.
    pub(crate) fn flag<S: Sink>(&mut self, flags: StatementFlags, sink: &mut S) {
        let new = flags & !self.flags;
        if !new.is_empty() {
            self.flags |= new;
            sink.note(Note::Statement(new));
        }
    }

    /// Gives up tracking, with a note about why.
    #[cold]
    pub(crate) fn lose<S: Sink>(&mut self, violation: Violation, side: Side, sink: &mut S) {
        if !self.untracked {
            self.untracked = true;
            let framer = if side == Side::Frontend {
                &self.frontend
            } else {
                &self.backend
            };
            sink.note(Note::Untracked(framer.error(violation, side, framer.tag())));
        }
    }
}

/// The requests in `frames`, if they may be injected.
fn injected(frames: &[u8], message_bytes_max: u32) -> Result<Vec<Request>, WireError> {
    let mut requests = Vec::new();
    let mut at = 0;
    while at < frames.len() {
        let message = frame::message(&frames[at..], Side::Frontend, message_bytes_max);
        let message = message.map_err(|error| WireError {
            offset: at as u64,
            ..error
        })?;
        let refused = move |tag| injection(Violation::InjectedMessage, tag, at as u64);
        let Message { tag, body, frame } = message.ok_or_else(|| refused(frames[at]))?;
        at += frame.len();
        match (tag, body.first()) {
            (tag::FLUSH, _) => {}
            (tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL | tag::TERMINATE, _) => {
                return Err(refused(tag));
            }
            (tag, kind) => {
                let kind = kind.copied().unwrap_or_default();
                requests.push(request(tag, kind).ok_or_else(|| refused(tag))?);
            }
        }
    }
    match requests.last() {
        None | Some(Request::Query | Request::FunctionCall | Request::Sync) => Ok(requests),
        Some(_) => Err(injection(Violation::InjectedMessage, 0, at as u64)),
    }
}

/// The request a message makes, if it makes one. `kind` is the first byte of its body.
#[inline]
pub(crate) const fn request(tag: u8, kind: u8) -> Option<Request> {
    Some(match (tag, kind) {
        (tag::QUERY, _) => Request::Query,
        (tag::FUNCTION_CALL, _) => Request::FunctionCall,
        (tag::PARSE, _) => Request::Parse,
        (tag::BIND, _) => Request::Bind,
        (tag::DESCRIBE, b'S') => Request::DescribeStatement,
        // Anything else than S or P is an error, which any reply awaited can be.
        (tag::DESCRIBE, _) => Request::DescribePortal,
        (tag::EXECUTE, _) => Request::Execute,
        (tag::CLOSE, b'S') => Request::CloseStatement,
        (tag::CLOSE, _) => Request::ClosePortal,
        (tag::SYNC, _) => Request::Sync,
        (tag::COPY_DONE | tag::COPY_FAIL, _) => Request::CopyEnd,
        _ => return None,
    })
}

const fn injection(violation: Violation, tag: u8, offset: u64) -> WireError {
    WireError {
        violation,
        side: Side::Frontend,
        tag,
        offset,
    }
}
