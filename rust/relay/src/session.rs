//! What makes two links a session: the tracker, the hold, the generation.

use std::sync::Arc;

use pywire_wire::{Note as WireNote, Sink, Tracker, TransactionStatus};

use crate::command::HoldMode;
use crate::note::{LinkId, Note};
use crate::ring::Ring;
use crate::stats::SessionCounters;

/// Where a hold stands. Its wish is obeyed at a request boundary and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    None,
    /// Stop the client at the next request boundary; or, with `pass`, after the next
    /// chunk, because the client is inside a transaction that only it can end.
    Wanted {
        mode: HoldMode,
        pass: bool,
    },
    /// The client is stopped; the host still owes answers.
    Stopped {
        mode: HoldMode,
    },
    /// The control plane has been told.
    Held,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) tracker: Tracker,
    pub(crate) hold: Hold,
    pub(crate) generation: u64,
    pub(crate) counters: Arc<SessionCounters>,
    /// Replies to injected requests, up to the last incomplete message.
    pub(crate) own_replies: Vec<u8>,
}

impl Session {
    /// Publishes what anybody may look at.
    pub(crate) fn publish(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        let held = self.hold == Hold::Held;
        self.counters.set_state(
            status_byte(self.tracker.status()),
            self.tracker.quiescent(),
            held,
        );
        self.counters
            .requests
            .store(self.tracker.requests(), Relaxed);
    }

    /// The note that says how the session was held.
    pub(crate) fn held_note(&self, session: LinkId) -> Note {
        let statements = self.tracker.statements();
        Note::Held {
            session,
            generation: self.generation,
            status: status_byte(self.tracker.status()),
            quiescent: self.tracker.quiescent(),
            requests: self.tracker.requests(),
            flags: self.tracker.flags().bits(),
            statements: statements
                .named()
                .map(|(_, frame)| frame.to_vec())
                .collect(),
            unnamed: statements.unnamed().map(<[u8]>::to_vec),
        }
    }
}

pub(crate) fn status_byte(status: TransactionStatus) -> u8 {
    status as u8
}

/// Turns what the tracker notices into notes for the control plane.
pub(crate) struct NoteSink<'a> {
    pub(crate) ring: &'a Ring,
    pub(crate) session: LinkId,
    pub(crate) untracked: bool,
    /// The host has said its last word: FATAL or PANIC.
    pub(crate) fatal: bool,
}

impl<'a> NoteSink<'a> {
    pub(crate) fn new(ring: &'a Ring, session: LinkId) -> Self {
        Self {
            ring,
            session,
            untracked: false,
            fatal: false,
        }
    }
}

impl Sink for NoteSink<'_> {
    fn note(&mut self, note: WireNote<'_>) {
        match note {
            WireNote::ParameterStatus { name, value } => self.ring.push(
                Note::ParameterChanged {
                    session: self.session,
                    name: name.to_vec(),
                    value: value.to_vec(),
                },
                false,
            ),
            WireNote::Statement(flags) => {
                self.ring.push(
                    Note::Flagged {
                        session: self.session,
                        flags: flags.bits(),
                    },
                    true,
                );
            }
            WireNote::Untracked(_) => self.untracked = true,
            WireNote::Fatal { .. } => self.fatal = true,
            _ => {}
        }
    }
}
