//! Prepared statements made with Parse, verbatim: what a new backend must be told to have them too.
//!
//! Never looks at the text. Frames wait in one buffer until the backend has answered; only statements
//! the backend has accepted are listed. Statements made with PREPARE are not here.

use std::collections::BTreeMap;

use crate::frame::{HEADER_BYTES, Header};
use crate::tag::frontend as tag;

/// A buffer that runs empty keeps at most this much memory.
const BUFFER_BYTES_KEPT: usize = 4096;
const PREFIX_BYTES: usize = 4;

/// The statements of one session.
#[derive(Debug, Default)]
pub struct Statements {
    /// By name: the Parse message.
    named: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// The Parse message of the unnamed statement, or nothing.
    unnamed: Vec<u8>,
    /// Parse and Close messages not answered yet, each after its length; answered ones in front.
    pending: Vec<u8>,
    /// Bytes at the front of `pending` that were answered.
    answered: u32,
    /// Where the message that is arriving begins in `pending`.
    arriving: u32,
    /// Bytes in `named`.
    named_bytes: u32,
    bytes_max: u32,
    overflowed: bool,
}

impl Statements {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let bytes_max = u32::try_from(bytes_max)
            .unwrap_or(u32::MAX >> 1)
            .min(u32::MAX >> 1);
        Self {
            bytes_max,
            ..Self::default()
        }
    }

    /// Named statements, by name: name and Parse message.
    pub fn named(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.named.iter().map(|(name, frame)| (&**name, &**frame))
    }

    /// The Parse message of the unnamed statement, if there is one.
    #[must_use]
    pub fn unnamed(&self) -> Option<&[u8]> {
        (!self.unnamed.is_empty()).then_some(&*self.unnamed)
    }

    /// Bytes of all messages kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.named_bytes as usize + self.unnamed.len() + self.pending.len() - self.answered as usize
    }

    /// Was there more than could be kept? Then the lists are empty and stay so.
    #[must_use]
    pub const fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// A Parse or Close message begins to arrive.
    pub(crate) fn begin(&mut self, header: Header) {
        let bytes = header.message_bytes() as usize;
        if self.overflowed || self.bytes() + PREFIX_BYTES + bytes > self.bytes_max as usize {
            let bytes_max = self.bytes_max;
            *self = Self {
                overflowed: true,
                bytes_max,
                ..Self::default()
            };
            return;
        }
        self.compact();
        self.arriving = self.pending.len() as u32;
        self.pending
            .extend_from_slice(&(bytes as u32).to_ne_bytes());
        self.pending.extend_from_slice(&header.to_bytes());
    }

    /// More of it arrives.
    pub(crate) fn feed(&mut self, body: &[u8]) {
        if !self.overflowed {
            self.pending.extend_from_slice(body);
        }
    }

    /// It is all there; `awaited` if the backend will answer it.
    pub(crate) fn end(&mut self, awaited: bool) {
        if !awaited && !self.overflowed {
            self.pending.truncate(self.arriving as usize);
            self.settle();
        }
    }

    /// The first Parse message was accepted.
    pub(crate) fn parsed(&mut self) {
        let Some(frame) = self.first() else { return };
        let name = name(frame, HEADER_BYTES);
        if name.is_empty() {
            self.unnamed.clear();
            self.unnamed
                .extend_from_slice(&self.pending[first_range(&self.pending, self.answered)]);
            if self.unnamed.capacity() > BUFFER_BYTES_KEPT.max(2 * self.unnamed.len()) {
                self.unnamed.shrink_to_fit();
            }
        } else {
            let (name, frame) = (Box::from(name), Box::from(frame));
            self.insert(name, frame);
        }
        self.drop_pending(1);
    }

    /// The first Parse message was refused: the unnamed statement is gone all the same.
    pub(crate) fn parse_failed(&mut self) {
        if self
            .first()
            .is_some_and(|frame| name(frame, HEADER_BYTES).is_empty())
        {
            self.drop_unnamed();
        }
        self.drop_pending(1);
    }

    /// The first Close message was obeyed.
    pub(crate) fn closed(&mut self) {
        let Some(frame) = self.pending.get(first_range(&self.pending, self.answered)) else {
            return;
        };
        let name = name(frame, HEADER_BYTES + 1);
        if name.is_empty() {
            self.unnamed.clear();
        } else if let Some(frame) = self.named.remove(name) {
            self.named_bytes -= frame.len() as u32;
        }
        self.drop_pending(1);
    }

    /// The first `count` messages that wait for an answer will not get one.
    pub(crate) fn drop_pending(&mut self, count: u32) {
        for _ in 0..count {
            let Some(frame) = self.first() else { break };
            self.answered += (PREFIX_BYTES + frame.len()) as u32;
        }
        self.settle();
    }

    /// A Query replaced the unnamed statement by nothing.
    #[inline]
    pub(crate) fn drop_unnamed(&mut self) {
        self.unnamed.clear();
    }

    /// DEALLOCATE ALL or DISCARD ALL was obeyed; neither touches the unnamed statement.
    pub(crate) fn drop_named(&mut self) {
        self.named.clear();
        self.named_bytes = 0;
    }

    fn insert(&mut self, name: Box<[u8]>, frame: Box<[u8]>) {
        self.named_bytes += frame.len() as u32;
        if let Some(before) = self.named.insert(name, frame) {
            self.named_bytes -= before.len() as u32;
        }
    }

    /// The first message that waits for an answer.
    fn first(&self) -> Option<&[u8]> {
        self.pending.get(first_range(&self.pending, self.answered))
    }

    /// Gives back memory of messages answered long ago, in a pipeline that never runs empty.
    fn compact(&mut self) {
        let answered = self.answered as usize;
        if answered > BUFFER_BYTES_KEPT && answered > self.pending.len() / 2 {
            self.pending.drain(..answered);
            self.answered = 0;
        }
    }

    fn settle(&mut self) {
        if self.answered as usize == self.pending.len() {
            self.pending.clear();
            self.answered = 0;
            self.arriving = 0;
            self.pending.shrink_to(BUFFER_BYTES_KEPT);
        }
    }
}

/// Where the first unanswered message lies; out of bounds if there is none.
fn first_range(pending: &[u8], answered: u32) -> std::ops::Range<usize> {
    let start = answered as usize + PREFIX_BYTES;
    match pending
        .get(answered as usize..)
        .and_then(|rest| rest.first_chunk())
    {
        Some(length) => start..start + u32::from_ne_bytes(*length) as usize,
        None => usize::MAX - 1..usize::MAX,
    }
}

/// The zero-terminated string at `start`; all there is if nothing terminates it.
fn name(frame: &[u8], start: usize) -> &[u8] {
    let rest = frame.get(start..).unwrap_or_default();
    let end = rest
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(rest.len());
    &rest[..end]
}

/// A Parse message, for those who have a text and no client.
#[must_use]
pub fn parse_message(name: &[u8], text: &[u8]) -> Vec<u8> {
    let length = (4 + name.len() + 1 + text.len() + 1 + 2) as u32;
    let mut frame = Header {
        tag: tag::PARSE,
        length,
    }
    .to_bytes()
    .to_vec();
    frame.extend_from_slice(name);
    frame.push(0);
    frame.extend_from_slice(text);
    frame.extend_from_slice(&[0, 0, 0]);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(statements: &mut Statements, frame: &[u8]) {
        statements.begin(Header::read(frame).unwrap());
        frame[HEADER_BYTES..]
            .chunks(3)
            .for_each(|piece| statements.feed(piece));
        statements.end(true);
    }

    fn close(name: &[u8]) -> Vec<u8> {
        let mut frame = Header {
            tag: tag::CLOSE,
            length: 6 + name.len() as u32,
        }
        .to_bytes()
        .to_vec();
        frame.push(b'S');
        frame.extend(name);
        frame.push(0);
        frame
    }

    #[test]
    fn statements_come_and_go_with_the_answers() {
        let mut statements = Statements::new(1000);
        let (a, b, unnamed) = (
            parse_message(b"a", b"select 1"),
            parse_message(b"b", b"?"),
            parse_message(b"", b"select 2"),
        );
        for frame in [&a, &b, &unnamed] {
            feed(&mut statements, frame);
        }
        assert_eq!(statements.named().count(), 0);
        statements.parsed();
        statements.parse_failed();
        statements.parsed();
        assert_eq!(
            statements.named().collect::<Vec<_>>(),
            [(&b"a"[..], &a[..])]
        );
        assert_eq!(statements.unnamed(), Some(&unnamed[..]));
        assert_eq!(statements.bytes(), a.len() + unnamed.len());
        feed(&mut statements, &close(b"a"));
        feed(&mut statements, &close(b""));
        statements.closed();
        statements.closed();
        assert_eq!(statements.bytes(), 0);
        assert_eq!(statements.unnamed(), None);
    }

    #[test]
    fn a_refused_unnamed_parse_leaves_none() {
        let mut statements = Statements::new(1000);
        feed(&mut statements, &parse_message(b"", b"select 1"));
        statements.parsed();
        feed(&mut statements, &parse_message(b"", b"selec"));
        statements.parse_failed();
        assert_eq!(statements.unnamed(), None);
    }

    #[test]
    fn what_is_not_awaited_is_forgotten() {
        let mut statements = Statements::new(1000);
        let frame = parse_message(b"x", b"select 1");
        statements.begin(Header::read(&frame).unwrap());
        statements.feed(&frame[HEADER_BYTES..]);
        statements.end(false);
        assert_eq!(statements.bytes(), 0);
        statements.parsed();
        assert_eq!(statements.named().count(), 0);
    }

    #[test]
    fn too_much_empties_the_list_for_good() {
        let mut statements = Statements::new(64);
        feed(&mut statements, &parse_message(b"a", b"select 1"));
        statements.parsed();
        feed(&mut statements, &parse_message(b"b", &[b'x'; 40]));
        assert!(statements.overflowed());
        statements.parsed();
        feed(&mut statements, &parse_message(b"c", b"select 1"));
        statements.parsed();
        assert_eq!((statements.named().count(), statements.bytes()), (0, 0));
    }

    #[test]
    fn a_pipeline_that_never_ends_takes_no_memory() {
        let mut statements = Statements::new(100_000);
        let frame = parse_message(b"", &[b'x'; 1000]);
        feed(&mut statements, &frame);
        for _ in 0..1000 {
            feed(&mut statements, &frame);
            statements.parsed();
        }
        assert!(
            statements.pending.capacity() < 50_000,
            "{}",
            statements.pending.capacity()
        );
        statements.parsed();
        assert!(statements.pending.capacity() <= BUFFER_BYTES_KEPT);
    }
}
