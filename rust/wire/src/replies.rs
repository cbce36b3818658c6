//! The backend's direction of the tracker: what the server answers.

use crate::error::{Side, Violation, WireError};
use crate::expected::{Effect, Item, Request};
use crate::fields::Fields;
use crate::flags::StatementFlags;
use crate::frame::{HEADER_BYTES, Header};
use crate::tag::backend as tag;
use crate::tap::{REPLIES, ReplyTap};
use crate::tracker::{Note, Owner, Sink, Span, Tracker};
use crate::transaction::TransactionStatus;

/// The longest reply that is looked at whole.
const GATHERED_BYTES_MAX: usize = 1 << 20;
/// A buffer kept between two replies that came in pieces.
const GATHERED_BYTES_KEPT: usize = 256;

/// B: inputs.
impl Tracker {
    /// Takes what was read from the backend; returns the longest run of bytes that belong to one owner.
    ///
    /// Call it again with the rest. Stops before a header that is not complete, as
    /// [`Tracker::frontend`] does.
    ///
    /// # Errors
    /// If the length word of a message is not acceptable.
    pub fn backend<S: Sink>(&mut self, data: &[u8], sink: &mut S) -> Result<Span, WireError> {
        let mut at = 0;
        let mut owner = self.reply_owner;
        loop {
            if self.backend.at_boundary() {
                let Some(header) = Header::read(&data[at..]) else {
                    break;
                };
                let next = self.owner(header.tag);
                if at > 0 && next != owner {
                    break;
                }
                self.backend
                    .begin(header, Side::Backend, self.message_bytes_max)?;
                (owner, self.reply_owner) = (next, next);
                self.begin_reply(header.tag);
                at += HEADER_BYTES;
            }
            let body = self.backend.take(&data[at..]);
            at += body.len();
            self.reply_body(body);
            if !self.backend.at_boundary() {
                break;
            }
            self.end_reply(body, sink);
        }
        Ok(Span { bytes: at, owner })
    }

    /// Whose a reply that begins now is.
    #[inline]
    fn owner(&self, tag: u8) -> Owner {
        match tag {
            tag::PARAMETER_STATUS | tag::NOTIFICATION_RESPONSE => Owner::Client,
            _ if self.untracked => Owner::Client,
            _ => self.expected.owner(),
        }
    }

    #[inline]
    fn begin_reply(&mut self, tag: u8) {
        match REPLIES[tag as usize] {
            ReplyTap::Row => {
                if let (Owner::Client, Some(protection)) = (self.reply_owner, &mut self.protection)
                {
                    protection.digest.begin_row(tag);
                }
            }
            ReplyTap::Fields => self.fields = Fields::default(),
            _ => {}
        }
    }

    #[inline]
    fn reply_body(&mut self, body: &[u8]) {
        match REPLIES[self.backend.tag() as usize] {
            ReplyTap::Forward | ReplyTap::Unknown => {}
            ReplyTap::Row => {
                if let (Owner::Client, Some(protection)) = (self.reply_owner, &mut self.protection)
                {
                    protection.digest.row(body);
                }
            }
            ReplyTap::Fields => self.fields.feed(body),
            ReplyTap::Whole => self.gather(body),
            ReplyTap::Shape => {
                if self.protection.is_some() {
                    self.gather(body);
                }
            }
        }
    }

    /// Keeps a piece of a body, unless it is all in one piece.
    #[inline]
    fn gather(&mut self, body: &[u8]) {
        let in_pieces = !self.backend.at_boundary() || !self.gathered.is_empty();
        if in_pieces && self.gathered.len() < GATHERED_BYTES_MAX {
            self.gathered.extend_from_slice(body);
        }
    }

    /// A reply is all there; `last` is its last piece.
    #[inline]
    fn end_reply<S: Sink>(&mut self, last: &[u8], sink: &mut S) {
        if self.gathered.is_empty() {
            return self.whole_reply(last, sink);
        }
        let mut gathered = std::mem::take(&mut self.gathered);
        if gathered.len() < GATHERED_BYTES_MAX {
            self.whole_reply(&gathered, sink);
        } else {
            self.lose(Violation::LengthTooLarge, Side::Backend, sink);
        }
        gathered.clear();
        gathered.shrink_to(GATHERED_BYTES_KEPT);
        self.gathered = gathered;
    }

    /// `body` is whole where the tap says so, and otherwise the last piece.
    #[inline]
    fn whole_reply<S: Sink>(&mut self, body: &[u8], sink: &mut S) {
        let tag = self.backend.tag();
        match tag {
            tag::PARAMETER_STATUS => return self.parameter_status(body, sink),
            tag::NOTICE_RESPONSE | tag::NOTIFICATION_RESPONSE => return,
            tag::ERROR_RESPONSE => return self.error_response(sink),
            _ if self.untracked => {
                if tag == tag::READY_FOR_QUERY {
                    self.status_is(body);
                }
                return;
            }
            tag::READY_FOR_QUERY => return self.ready_for_query(body, sink),
            _ => {}
        }
        match self.expected.reply(tag) {
            Some(effect) => self.replied(tag, body, effect, sink),
            None => {
                let violation = match REPLIES[tag as usize] {
                    ReplyTap::Unknown => Violation::UnknownTag,
                    _ => Violation::UnexpectedReply,
                };
                self.lose(violation, Side::Backend, sink);
            }
        }
    }

    #[inline]
    fn replied<S: Sink>(&mut self, tag: u8, body: &[u8], effect: Effect, sink: &mut S) {
        let client = self.reply_owner == Owner::Client;
        match tag {
            tag::PARSE_COMPLETE if client => self.statements.parsed(),
            tag::CLOSE_COMPLETE if client && closes_statement(effect) => self.statements.closed(),
            tag::COMMAND_COMPLETE if client => self.command_complete(body, sink),
            tag::COPY_BOTH_RESPONSE => self.flag(StatementFlags::REPLICATION, sink),
            _ => {}
        }
        if let (true, Some(protection)) = (client, &mut self.protection) {
            if effect.ready_dropped > 0 {
                protection.dropped(effect);
            }
            match REPLIES[tag as usize] {
                ReplyTap::Row => protection.digest.end_row(),
                ReplyTap::Forward => protection.reply(tag, &[]),
                _ => protection.reply(tag, body),
            }
        }
    }

    /// DEALLOCATE and DISCARD take statements away that were made with Parse.
    #[inline]
    fn command_complete<S: Sink>(&mut self, tag: &[u8], sink: &mut S) {
        if !tag.starts_with(b"D") {
            return;
        }
        if tag.starts_with(b"DEALLOCATE") {
            self.flag(StatementFlags::DEALLOCATE, sink);
        } else if tag.starts_with(b"DISCARD") {
            self.flag(StatementFlags::DISCARD, sink);
        }
        if tag.starts_with(b"DEALLOCATE ALL") || tag.starts_with(b"DISCARD ALL") {
            self.statements.drop_named();
        }
    }

    fn parameter_status<S: Sink>(&mut self, body: &[u8], sink: &mut S) {
        let mut strings = body.split(|byte| *byte == 0);
        match (
            strings.next(),
            strings.next(),
            strings.next(),
            strings.next(),
        ) {
            (Some(name), Some(value), Some([]), None) => {
                sink.note(Note::ParameterStatus { name, value });
            }
            _ => self.lose(Violation::MalformedReply, Side::Backend, sink),
        }
    }

    fn error_response<S: Sink>(&mut self, sink: &mut S) {
        let sqlstate = self.fields.sqlstate();
        if self.fields.is_fatal() {
            return sink.note(Note::Fatal { sqlstate });
        }
        if self.untracked {
            return;
        }
        let Some(effect) = self.expected.error() else {
            return self.lose(Violation::UnexpectedReply, Side::Backend, sink);
        };
        match effect.ended {
            Some(Item {
                request: Request::Parse,
                owner: Owner::Client,
            }) => {
                self.statements.parse_failed();
            }
            Some(Item {
                request: Request::CloseStatement,
                owner: Owner::Client,
            }) => {
                self.statements.drop_pending(1);
            }
            _ => {}
        }
        self.statements.drop_pending(effect.kept_dropped);
        if let (Owner::Client, Some(protection)) = (self.reply_owner, &mut self.protection) {
            protection.dropped(effect);
            protection.reply(tag::ERROR_RESPONSE, &sqlstate);
        }
    }

    #[inline]
    fn ready_for_query<S: Sink>(&mut self, body: &[u8], sink: &mut S) {
        if !self.status_is(body) {
            return self.lose(Violation::MalformedReply, Side::Backend, sink);
        }
        let Some(effect) = self.expected.ready() else {
            return self.lose(Violation::UnexpectedReply, Side::Backend, sink);
        };
        if self.reply_owner == Owner::Own {
            return;
        }
        self.answered += 1;
        match effect.ended {
            Some(Item {
                request: Request::Query,
                ..
            }) => self.statements.drop_unnamed(),
            Some(_) => {}
            None => return, // a Sync that COPY IN may have swallowed: it ends no unit of the journal
        }
        if let Some(protection) = &mut self.protection {
            protection.ready(self.status);
        }
    }

    /// Takes over the status ReadyForQuery reports, if it is one.
    fn status_is(&mut self, body: &[u8]) -> bool {
        let status = match body {
            [byte] => TransactionStatus::from_byte(*byte),
            _ => None,
        };
        self.status = status.unwrap_or(self.status);
        status.is_some()
    }
}

fn closes_statement(effect: Effect) -> bool {
    matches!(
        effect.ended,
        Some(Item {
            request: Request::CloseStatement,
            ..
        })
    )
}
