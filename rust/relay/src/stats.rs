//! Counters that a worker writes and anybody may read, without a lock on either side.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::note::LinkId;

/// The live counters of one session. Bytes are the protocol's, before TLS.
#[derive(Debug, Default)]
pub(crate) struct SessionCounters {
    pub(crate) client_bytes_in: AtomicU64,
    pub(crate) client_bytes_out: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) backend: AtomicU64,
    pub(crate) status: AtomicU8,
    pub(crate) state: AtomicU8,
}

const QUIESCENT: u8 = 1;
const HELD: u8 = 2;

/// Adds without a locked instruction: each counter has one writer, its session's worker.
fn add(counter: &AtomicU64, n: usize) {
    counter.store(counter.load(Relaxed).wrapping_add(n as u64), Relaxed);
}

impl SessionCounters {
    pub(crate) fn received(&self, bytes: usize) {
        add(&self.client_bytes_in, bytes);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        add(&self.client_bytes_out, bytes);
    }

    pub(crate) fn set_state(&self, status: u8, quiescent: bool, held: bool) {
        self.status.store(status, Relaxed);
        self.state.store(
            u8::from(quiescent) * QUIESCENT + u8::from(held) * HELD,
            Relaxed,
        );
    }
}

/// One look at a session's counters.
#[derive(Clone, Copy, Debug)]
pub struct SessionStats {
    /// Bytes received from the client.
    pub client_bytes_in: u64,
    /// Bytes sent to the client.
    pub client_bytes_out: u64,
    /// Requests that end in ReadyForQuery, since the session began.
    pub requests: u64,
    /// The backend link that the session lives on.
    pub backend: LinkId,
    /// The last ReadyForQuery's status: `I`, `T` or `E`.
    pub status: u8,
    /// Whether every request has been answered.
    pub quiescent: bool,
    /// Whether the client's next request waits.
    pub held: bool,
}

/// The counters of every live session.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<HashMap<LinkId, Arc<SessionCounters>>>);

impl Registry {
    pub(crate) fn insert(&self, session: LinkId) -> Arc<SessionCounters> {
        let counters = Arc::new(SessionCounters::default());
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(session, Arc::clone(&counters));
        counters
    }

    pub(crate) fn remove(&self, session: LinkId) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&session);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn look(&self, session: LinkId) -> Option<SessionStats> {
        let counters = Arc::clone(
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&session)?,
        );
        let state = counters.state.load(Relaxed);
        Some(SessionStats {
            client_bytes_in: counters.client_bytes_in.load(Relaxed),
            client_bytes_out: counters.client_bytes_out.load(Relaxed),
            requests: counters.requests.load(Relaxed),
            backend: LinkId(counters.backend.load(Relaxed)),
            status: counters.status.load(Relaxed),
            quiescent: state & QUIESCENT != 0,
            held: state & HELD != 0,
        })
    }
}
