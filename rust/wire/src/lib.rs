//! PostgreSQL's wire protocol as pure state: bytes go in, notes and byte counts come out.
//!
//! This crate knows where messages begin and end, which replies a backend still owes, and whether a
//! session is *quiescent* (every request answered). It never opens a socket, starts a thread, reads a
//! clock or allocates for a message in steady state, and it never changes a byte: what a client sent is
//! what its backend gets.
//!
//! [`Tracker`] is the centre. Its methods come in three groups, to be called in this spirit:
//!
//! * **A, getters** such as [`Tracker::quiescent`] and [`Tracker::status`]: cheap, at any time.
//! * **B, inputs**: [`Tracker::frontend`] and [`Tracker::backend`] take what was read from either side,
//!   in the order it was read, and say how many bytes may be forwarded. Facts worth telling somebody
//!   arrive at a [`Sink`] as [`Note`]s.
//! * **C, mutators**: [`Tracker::inject`] and [`Tracker::reset_backend`] are wishes of the owner of the
//!   session.
//!
//! The truth followed throughout is the server's main loop (`postgres.c`), not what clients are
//! supposed to do.

#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

pub mod digest;
pub mod error;
mod expected;
mod fields;
pub mod flags;
pub mod frame;
pub mod journal;
mod protection;
mod replies;
mod requests;
mod scan;
mod siphash;
pub mod startup;
pub mod statements;
pub mod tag;
mod tap;
pub mod tracker;
pub mod transaction;

pub use digest::Digest;
pub use error::{Side, Violation, WireError};
pub use flags::StatementFlags;
pub use frame::Header;
pub use journal::Journal;
pub use scan::scan;
pub use startup::Startup;
pub use statements::Statements;
pub use tracker::{Note, Owner, Sink, Span, Tracker, TrackerConfig};
pub use transaction::TransactionStatus;
