//! The bounded ring of notes between the workers and the control plane.
//!
//! Notes are never dropped: a worker that finds the ring full waits for room, and reads
//! no socket meanwhile, so that TCP itself slows the senders. Notes are rare (a handful
//! for a login, none for a query), hence a mutex and not a lock-free queue.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, mem};

use crate::note::Note;
use crate::socket::EventFd;

/// How long a worker waits for room before it looks whether the engine is stopping.
const ROOM_WAIT: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct State {
    notes: VecDeque<Note>,
    stopping: bool,
}

/// A bounded queue of notes with a descriptor that is readable while notes wait.
#[derive(Debug)]
pub(crate) struct Ring {
    state: Mutex<State>,
    room: Condvar,
    wake: EventFd,
    notes_max: usize,
}

impl Ring {
    pub(crate) fn new(notes_max: usize) -> io::Result<Self> {
        Ok(Self {
            state: Mutex::default(),
            room: Condvar::new(),
            wake: EventFd::new()?,
            notes_max: notes_max.max(1),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn event_fd(&self) -> RawFd {
        self.wake.as_raw_fd()
    }

    /// Appends a note, waiting while the ring is full.
    ///
    /// A `quiet` note does not wake the reader: it is read with the next one that does.
    pub(crate) fn push(&self, note: Note, quiet: bool) {
        let mut state = self.lock();
        while state.notes.len() >= self.notes_max && !state.stopping {
            self.wake.signal();
            state = self
                .room
                .wait_timeout(state, ROOM_WAIT)
                .map_or_else(|e| e.into_inner().0, |(state, _)| state);
        }
        state.notes.push_back(note);
        drop(state);
        if !quiet {
            self.wake.signal();
        }
    }

    /// Takes up to `limit` notes. The descriptor stays readable if some remain.
    pub(crate) fn drain(&self, limit: usize) -> Vec<Note> {
        self.wake.clear();
        let mut state = self.lock();
        let taken = if state.notes.len() <= limit {
            mem::take(&mut state.notes).into()
        } else {
            state.notes.drain(..limit).collect::<Vec<_>>()
        };
        if !state.notes.is_empty() {
            self.wake.signal();
        }
        drop(state);
        self.room.notify_all();
        taken
    }

    /// Lets workers that wait for room go on, so that they can end.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::LinkId;
    use std::sync::Arc;
    use std::thread;

    fn note(n: u64) -> Note {
        Note::Closed {
            link: LinkId(n),
            reason: String::new(),
        }
    }

    fn numbers(notes: &[Note]) -> Vec<u64> {
        notes
            .iter()
            .map(|n| {
                if let Note::Closed { link, .. } = n {
                    link.0
                } else {
                    u64::MAX
                }
            })
            .collect()
    }

    #[test]
    fn notes_come_out_in_order_and_in_batches() {
        let ring = Ring::new(10).unwrap();
        (0..5).for_each(|n| ring.push(note(n), false));
        assert_eq!(numbers(&ring.drain(3)), [0, 1, 2]);
        assert_eq!(numbers(&ring.drain(3)), [3, 4]);
        assert!(ring.drain(3).is_empty());
    }

    #[test]
    fn a_full_ring_makes_the_writer_wait_and_drops_nothing() {
        let ring = Arc::new(Ring::new(4).unwrap());
        let writer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || (0..1000).for_each(|n| ring.push(note(n), n % 2 == 0)))
        };
        let mut seen = Vec::new();
        while seen.len() < 1000 {
            let batch = ring.drain(3);
            assert!(batch.len() <= 3);
            seen.extend(numbers(&batch));
        }
        writer.join().unwrap();
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_stopping_ring_holds_nobody_up() {
        let ring = Ring::new(1).unwrap();
        ring.stop();
        (0..3).for_each(|n| ring.push(note(n), false));
        assert_eq!(ring.drain(10).len(), 3);
    }
}
