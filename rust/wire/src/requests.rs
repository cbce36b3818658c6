//! The frontend's direction of the tracker: what the client sends.

use crate::error::{Side, Violation, WireError};
use crate::expected::{Request, Sent};
use crate::flags::StatementFlags;
use crate::frame::{HEADER_BYTES, Header};
use crate::tag::frontend as tag;
use crate::tap::{REQUESTS, RequestTap};
use crate::tracker::{Note, Owner, Sink, Tracker, request};

/// B: inputs.
impl Tracker {
    /// Takes what was read from the client; returns how many bytes may be forwarded to the backend.
    ///
    /// Stops before a header that is not complete: those bytes (at most 4) must be presented again, in
    /// front of the next. With `stop_at_request_boundary` it also stops at the first place where a new
    /// request could begin, which may be at once.
    ///
    /// # Errors
    /// If the length word of a message is not acceptable.
    pub fn frontend<S: Sink>(
        &mut self,
        data: &[u8],
        stop_at_request_boundary: bool,
        sink: &mut S,
    ) -> Result<usize, WireError> {
        let mut at = 0;
        loop {
            if self.frontend.at_boundary() {
                if stop_at_request_boundary && self.request_boundary() {
                    return Ok(at);
                }
                let Some(header) = Header::read(&data[at..]) else {
                    return Ok(at);
                };
                self.frontend
                    .begin(header, Side::Frontend, self.message_bytes_max)?;
                self.begin_request(header);
                at += HEADER_BYTES;
            }
            let body = self.frontend.take(&data[at..]);
            at += body.len();
            self.request_body(body);
            if !self.frontend.at_boundary() {
                return Ok(at);
            }
            self.end_request(sink);
        }
    }

    fn begin_request(&mut self, header: Header) {
        match REQUESTS[header.tag as usize] {
            RequestTap::ScanKeep => self.statements.begin(header),
            RequestTap::Kind | RequestTap::KindKeep => self.kind = 0,
            RequestTap::Forward | RequestTap::Scan | RequestTap::Unknown => {}
        }
        if let Some(protection) = &mut self.protection {
            protection.begin_request(header);
        }
    }

    #[inline]
    fn request_body(&mut self, body: &[u8]) {
        match REQUESTS[self.frontend.tag() as usize] {
            RequestTap::Forward | RequestTap::Unknown => {}
            RequestTap::Scan => self.scanner.feed(body),
            RequestTap::ScanKeep => {
                self.scanner.feed(body);
                self.statements.feed(body);
            }
            RequestTap::Kind | RequestTap::KindKeep => self.request_kind(body),
        }
        if let Some(protection) = &mut self.protection {
            protection.request(self.frontend.tag(), body);
        }
    }

    /// The first byte of Describe and Close tells what they mean; to close a statement is kept.
    fn request_kind(&mut self, body: &[u8]) {
        let keep = self.frontend.tag() == tag::CLOSE;
        if let (0, Some(kind)) = (self.kind, body.first()) {
            self.kind = (*kind).max(1); // 0 stands for not seen
            if keep && *kind == b'S' {
                self.statements
                    .begin(self.frontend.header_before(body.len()));
            }
        }
        if keep && self.kind == b'S' {
            self.statements.feed(body);
        }
    }

    fn end_request<S: Sink>(&mut self, sink: &mut S) {
        let tag = self.frontend.tag();
        let mut flags = match REQUESTS[tag as usize] {
            RequestTap::Scan | RequestTap::ScanKeep => self.scanner.finish(),
            RequestTap::Unknown => return self.lose(Violation::UnknownTag, Side::Frontend, sink),
            _ => StatementFlags::NONE,
        };
        if self.statements.overflowed() {
            flags |= StatementFlags::STATEMENTS_OVERFLOW;
        }
        match request(tag, self.kind) {
            Some(request) => {
                if request == Request::FunctionCall {
                    flags |= StatementFlags::FUNCTION_CALL;
                }
                self.flag(flags, sink);
                self.send(request, sink);
            }
            None if tag == tag::TERMINATE => {
                self.terminated = true;
                sink.note(Note::Terminate);
            }
            None => {
                if let Some(protection) = &mut self.protection {
                    protection.end_other();
                }
            }
        }
    }

    fn send<S: Sink>(&mut self, request: Request, sink: &mut S) {
        let sent = if self.untracked {
            Sent::Unexpected
        } else {
            self.expected.send(request, Owner::Client)
        };
        if matches!(request, Request::Parse | Request::CloseStatement) {
            self.statements.end(sent == Sent::Awaited);
        }
        if matches!(
            request,
            Request::Query | Request::FunctionCall | Request::Sync
        ) {
            self.requests += 1;
        }
        if let Some(protection) = &mut self.protection {
            protection.end_request(request, sent);
        }
        if sent == Sent::Unexpected {
            self.lose(Violation::UnexpectedRequest, Side::Frontend, sink);
        }
    }
}
