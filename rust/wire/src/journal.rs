//! The frontend's messages of the open transaction block, verbatim: what to resend on another host.
//!
//! Messages are grouped in *units*: everything up to a Sync, Query or FunctionCall, which one
//! ReadyForQuery answers. A unit is kept until a ReadyForQuery reports that no block is open. The
//! journal is bounded: over its limit it forgets its bytes, and the block is not replayable.

use std::collections::VecDeque;

use crate::transaction::TransactionStatus;

/// An empty journal keeps at most this much memory.
const BYTES_KEPT: usize = 16 * 1024;

/// One request, or pipeline of them, that one ReadyForQuery answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit<'a> {
    /// The messages, verbatim.
    pub frames: &'a [u8],
    /// Digest of the replies and the status they ended with; nothing while they are awaited.
    pub answer: Option<(u128, TransactionStatus)>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Where the unit ends in the journal.
    end: usize,
    answer: Option<(u128, TransactionStatus)>,
}

/// The units of one session's open transaction block, and those in flight.
#[derive(Debug, Default)]
pub struct Journal {
    bytes: Vec<u8>,
    marks: VecDeque<Mark>,
    /// Units at the front that have been answered.
    answered: usize,
    bytes_max: usize,
    overflowed: bool,
    /// Has the beginning of the unfinished unit been forgotten?
    headless: bool,
}

impl Journal {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            ..Self::default()
        }
    }

    /// The units, oldest first. Messages after the last one are [`Journal::unfinished`].
    pub fn units(&self) -> impl Iterator<Item = Unit<'_>> {
        let mut start = 0;
        self.marks.iter().map(move |mark| {
            let frames = &self.bytes[start..mark.end];
            start = mark.end;
            Unit {
                frames,
                answer: mark.answer,
            }
        })
    }

    /// Bytes of a unit whose end was not sent yet; the last message may be incomplete.
    #[must_use]
    pub fn unfinished(&self) -> &[u8] {
        &self.bytes[self.last_end()..]
    }

    /// Were there more bytes than may be kept? Then the open block cannot be replayed.
    #[must_use]
    pub const fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// More bytes from the frontend.
    pub(crate) fn append(&mut self, data: &[u8]) {
        if !self.overflowed && self.bytes.len() + data.len() <= self.bytes_max {
            self.bytes.extend_from_slice(data);
            return;
        }
        (self.overflowed, self.headless) = (true, true);
        self.bytes = Vec::new();
        for mark in &mut self.marks {
            mark.end = 0;
        }
        self.forget_answered();
    }

    /// The bytes so far end with a message that ends a unit.
    pub(crate) fn end_unit(&mut self) {
        self.headless = false;
        self.marks.push_back(Mark {
            end: self.bytes.len(),
            answer: None,
        });
    }

    /// The last `message_bytes` are a message that begins no unit: it belongs to the request before it.
    pub(crate) fn extend_unit(&mut self, message_bytes: usize) {
        let since = self.bytes.len().checked_sub(message_bytes);
        if let Some(last) = self.marks.back_mut()
            && Some(last.end) == since
        {
            last.end = self.bytes.len();
        }
    }

    /// Units in flight, from the `before`th on, do not end where it seemed: the backend skipped or
    /// swallowed the message. What COPY IN swallowed belongs to the Query `before` it, if there is one.
    pub(crate) fn join(&mut self, before: u32, count: u32) {
        let start = (self.answered + before as usize).min(self.marks.len());
        let end = (start + count as usize).min(self.marks.len());
        if before > 0 && start < end {
            self.marks[start - 1].end = self.marks[end - 1].end;
        }
        self.marks.drain(start..end);
    }

    /// ReadyForQuery came for the first unit in flight.
    pub(crate) fn answer(&mut self, digest: u128, status: TransactionStatus) {
        if let Some(mark) = self.marks.get_mut(self.answered) {
            mark.answer = Some((digest, status));
            self.answered += 1;
        }
        if self.overflowed || !status.in_block() {
            self.forget_answered();
        }
        if !status.in_block() && self.marks.is_empty() && !self.headless {
            self.overflowed = false;
        }
        if self.bytes.is_empty() {
            self.bytes.shrink_to(BYTES_KEPT);
        }
    }

    fn forget_answered(&mut self) {
        let Some(last) = self.answered.checked_sub(1) else {
            return;
        };
        let end = self.marks[last].end;
        self.marks.drain(..=last);
        self.answered = 0;
        self.bytes.drain(..end);
        for mark in &mut self.marks {
            mark.end -= end;
        }
    }

    fn last_end(&self) -> usize {
        self.marks.back().map_or(0, |mark| mark.end)
    }
}

#[cfg(test)]
mod tests {
    use super::TransactionStatus::{Idle, InBlock};
    use super::*;

    fn unit(journal: &mut Journal, data: &[u8]) {
        journal.append(data);
        journal.end_unit();
    }

    fn frames(journal: &Journal) -> Vec<&[u8]> {
        journal.units().map(|unit| unit.frames).collect()
    }

    #[test]
    fn units_stay_while_the_block_is_open() {
        let mut journal = Journal::new(100);
        unit(&mut journal, b"begin");
        unit(&mut journal, b"insert");
        journal.append(b"par");
        journal.answer(1, InBlock);
        assert_eq!(frames(&journal), [&b"begin"[..], b"insert"]);
        assert_eq!(journal.units().next().unwrap().answer, Some((1, InBlock)));
        assert_eq!(journal.unfinished(), b"par");
        journal.answer(2, Idle);
        assert_eq!(frames(&journal), [&b""[..]; 0]);
        assert_eq!(journal.unfinished(), b"par");
    }

    #[test]
    fn the_next_block_may_be_in_flight() {
        let mut journal = Journal::new(100);
        unit(&mut journal, b"select");
        unit(&mut journal, b"begin");
        journal.answer(1, Idle);
        assert_eq!(frames(&journal), [b"begin"]);
        journal.answer(2, InBlock);
        assert_eq!(frames(&journal), [b"begin"]);
    }

    #[test]
    fn units_that_did_not_end_are_joined() {
        let mut journal = Journal::new(100);
        unit(&mut journal, b"begin");
        journal.answer(1, InBlock);
        unit(&mut journal, b"parse query");
        unit(&mut journal, b"sync");
        journal.join(0, 1);
        assert_eq!(frames(&journal), [&b"begin"[..], b"parse querysync"]);
        journal.join(7, 7);
        let mut journal = Journal::new(100);
        unit(&mut journal, b"copy");
        unit(&mut journal, b"sync");
        unit(&mut journal, b"next");
        journal.join(1, 1);
        assert_eq!(frames(&journal), [&b"copysync"[..], b"next"]);
    }

    #[test]
    fn copy_data_belongs_to_the_request_before_it() {
        let mut journal = Journal::new(100);
        unit(&mut journal, b"copy");
        journal.append(b"data");
        journal.extend_unit(4);
        assert_eq!(frames(&journal), [b"copydata"]);
    }

    #[test]
    fn too_much_makes_the_block_unreplayable_until_it_ends() {
        let mut journal = Journal::new(10);
        unit(&mut journal, b"begin");
        journal.answer(1, InBlock);
        unit(&mut journal, b"insert into");
        unit(&mut journal, b"more");
        assert!(journal.overflowed());
        journal.answer(2, InBlock);
        journal.answer(3, InBlock);
        assert!(journal.overflowed());
        assert_eq!(journal.units().count(), 0);
        unit(&mut journal, b"commit");
        unit(&mut journal, b"begin");
        journal.answer(4, Idle);
        assert!(
            journal.overflowed(),
            "the block begun behind it has lost its beginning"
        );
        journal.answer(5, InBlock);
        unit(&mut journal, b"commit");
        journal.answer(6, Idle);
        assert!(!journal.overflowed());
        unit(&mut journal, b"begin");
        assert_eq!(frames(&journal), [b"begin"]);
    }
}
