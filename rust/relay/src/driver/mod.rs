//! The seam between the relay's logic and the kernel's way of moving bytes.
//!
//! A driver owns readiness or completion, the receive buffers, and the bytes that the
//! kernel has not taken yet. It knows nothing of messages. The worker asks it in turns:
//! `wait`, then `next` until it answers `None`; whatever was sent in between has reached
//! the kernel by the next `wait` at the latest.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

mod buffers;
pub(crate) mod epoll;
mod operation;
pub(crate) mod uring;

/// Room in front of received bytes: an incomplete message header from the last chunk
/// (at most 4 bytes) is put back there, so that a scan always sees contiguous bytes.
pub(crate) const HEADROOM: usize = 8;

/// Received bytes, on loan from the driver; give them back with `recycle`.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) buffer: Box<[u8]>,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Chunk {
    pub(crate) fn data(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Puts `head` (at most [`HEADROOM`] bytes) in front of the data.
    pub(crate) fn prepend(&mut self, head: &[u8]) {
        let start = self.start - head.len();
        self.buffer[start..self.start].copy_from_slice(head);
        self.start = start;
    }
}

/// What the kernel has to tell.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection was accepted on this listener's slot.
    Accepted(u32, OwnedFd, String),
    /// No descriptor is left to accept with; the listener is not read until told to.
    AcceptExhausted(u32),
    /// A connect begun on this slot has ended.
    Connected(u32, io::Result<()>),
    /// Bytes have come in.
    Data(u32, Chunk),
    /// The peer has closed its direction, or the connection is broken.
    Ended(u32, Option<io::Error>),
    /// What a slot owed the kernel has shrunk below the limit: its source may go on.
    Unclogged(u32),
}

/// What a driver is told to do with a new slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Listener,
    /// A stream whose connect is under way.
    Connecting,
    Stream,
}

pub(crate) trait Driver {
    fn add(&mut self, slot: u32, fd: RawFd, kind: Kind) -> io::Result<()>;

    /// Forgets a slot; its descriptor may be closed afterwards.
    fn remove(&mut self, slot: u32);

    /// Takes all of `data`, now or later, in order. `Err` means the connection is broken.
    fn send(&mut self, slot: u32, data: &[u8]) -> io::Result<()>;

    /// Whether so much is owed to this slot that its source must wait for `Unclogged`.
    fn clogged(&mut self, slot: u32) -> bool;

    /// Whether everything sent has been handed to the kernel; if not, `Unclogged` will tell.
    fn flushed(&mut self, slot: u32) -> bool;

    /// Bytes that the kernel has not taken yet.
    fn owed(&self, slot: u32) -> usize;

    fn want_read(&mut self, slot: u32, on: bool);

    /// Waits for something to happen, at most `timeout_ms` (-1: for ever).
    fn wait(&mut self, timeout_ms: i32);

    /// The next thing that has happened since the last `wait`.
    fn next(&mut self) -> Option<Event>;

    fn recycle(&mut self, chunk: Chunk);

    /// Whether the wake-up descriptor was signalled since the last call: commands wait.
    fn woken(&mut self) -> bool;
}
