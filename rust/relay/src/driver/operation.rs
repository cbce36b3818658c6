//! What an io_uring is asked to do, and the bytes that it is asked to send.

use std::ops::Range;

/// What an operation was for: the top bits of its user data.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Operation {
    Receive = 0,
    Send = 1,
    Accept = 2,
    Connect = 3,
}

/// Bytes on their way to the kernel.
#[derive(Debug)]
pub(crate) enum Piece {
    Copied { bytes: Vec<u8>, sent: usize },
    Lent { buffer: u16, range: Range<usize> },
}

impl Piece {
    pub(crate) fn left(&self) -> usize {
        match self {
            Self::Copied { bytes, sent } => bytes.len() - sent,
            Self::Lent { range, .. } => range.len(),
        }
    }

    pub(crate) fn advance(&mut self, n: usize) {
        match self {
            Self::Copied { sent, .. } => *sent += n,
            Self::Lent { range, .. } => range.start += n,
        }
    }
}

/// Names an operation: what for, which use of the slot, which slot.
pub(crate) fn user_data(operation: Operation, uses: u32, slot: u32) -> u64 {
    (operation as u64) << 60 | u64::from(uses & 0x0fff_ffff) << 32 | u64::from(slot)
}
