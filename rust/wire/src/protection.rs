//! Journal and digest of one session, fed together: the switch `TrackerConfig::protection` makes one.

use crate::digest::Digest;
use crate::expected::{Effect, Request, Sent};
use crate::frame::Header;
use crate::journal::Journal;
use crate::tag::{backend, frontend};
use crate::tracker::TrackerConfig;
use crate::transaction::TransactionStatus;

#[derive(Debug)]
pub(crate) struct Protection {
    pub(crate) journal: Journal,
    pub(crate) digest: Digest,
    /// Bytes of the message the frontend is sending, or sent last.
    message_bytes: usize,
}

impl Protection {
    pub(crate) fn new(config: &TrackerConfig) -> Self {
        Self {
            journal: Journal::new(config.journal_bytes_max),
            digest: Digest::new(config.digest_key),
            message_bytes: 0,
        }
    }

    pub(crate) fn begin_request(&mut self, header: Header) {
        self.message_bytes = header.message_bytes() as usize;
        if header.tag != frontend::TERMINATE {
            self.journal.append(&header.to_bytes());
        }
    }

    pub(crate) fn request(&mut self, tag: u8, body: &[u8]) {
        if tag != frontend::TERMINATE {
            self.journal.append(body);
        }
    }

    pub(crate) fn end_request(&mut self, request: Request, sent: Sent) {
        match request {
            Request::CopyEnd => self.end_other(),
            Request::Sync if sent == Sent::Swallowed => self.end_other(),
            Request::Query | Request::FunctionCall | Request::Sync if sent == Sent::Awaited => {
                self.journal.end_unit();
            }
            _ => {}
        }
    }

    /// A message that is no request is all there: of COPY IN, or Flush.
    pub(crate) fn end_other(&mut self) {
        self.journal.extend_unit(self.message_bytes);
    }

    pub(crate) fn dropped(&mut self, effect: Effect) {
        self.journal.join(effect.ready_before, effect.ready_dropped);
    }

    /// A reply to the client whose body does not count, or counts whole.
    pub(crate) fn reply(&mut self, tag: u8, body: &[u8]) {
        match tag {
            backend::ROW_DESCRIPTION => self.digest.row_description(body),
            backend::PARAMETER_DESCRIPTION => self.digest.parameter_description(body),
            _ => self.digest.event(tag, body),
        }
    }

    pub(crate) fn ready(&mut self, status: TransactionStatus) {
        self.digest
            .event(backend::READY_FOR_QUERY, &[status.as_byte()]);
        self.journal.answer(self.digest.finish(), status);
    }
}
