//! Bytes of a session on their way: received, scanned, forwarded, in the same turn.
//!
//! Whatever is forwarded is forwarded verbatim. A direction stops in three cases only:
//! the other side has not taken what it was sent, the client is held at a request
//! boundary, or the stream is at an end.

use std::mem;

use pywire_wire::{Owner, WireError};

use crate::driver::{Chunk, Driver};
use crate::link::{Role, Stage, pause};
use crate::messages::whole_messages;
use crate::note::Note;
use crate::session::{Hold, NoteSink, Session};
use crate::worker::{Worker, send_failure};

/// Scratch larger than this is given back after use.
const SCRATCH_BYTES_MAX: usize = 1 << 20;
/// Replies to injected requests that may wait for the rest of a message.
const OWN_REPLIES_BYTES_MAX: usize = 64 << 20;

impl<D: Driver> Worker<D> {
    /// Bytes from the network, on any link.
    pub(crate) fn on_data(&mut self, slot: u32, chunk: &mut Chunk) {
        let Some(link) = self.link(slot) else { return };
        if link.tls.is_some() {
            self.on_cipher(slot, chunk.data());
            return;
        }
        if matches!(link.stage, Stage::Relayed) {
            let (stash, length) = link.stash.take();
            chunk.prepend(&stash[..length]);
        }
        self.on_bytes(slot, chunk.data());
    }

    /// Encrypted bytes: decrypt, answer the handshake, go on with what was inside.
    pub(crate) fn on_cipher(&mut self, slot: u32, cipher: &[u8]) {
        let Some(link) = self.link(slot) else { return };
        let Some(mut tls) = link.tls.take() else {
            return;
        };
        let (stash, length) = if matches!(link.stage, Stage::Relayed) {
            link.stash.take()
        } else {
            Default::default()
        };
        let was_handshaking = tls.handshaking();
        let mut plain = mem::take(&mut self.plain);
        plain.clear();
        plain.extend_from_slice(&stash[..length]);
        let result = tls.receive(cipher, &mut plain);
        self.cipher.clear();
        tls.take_output(&mut self.cipher);
        let handshaken = was_handshaking && !tls.handshaking();
        if let Some(link) = self.link(slot) {
            link.tls = Some(tls);
        }
        if !self.cipher.is_empty()
            && let Err(e) = self.driver.send(slot, &self.cipher)
        {
            self.mark_broken(slot, send_failure(&e));
        }
        match result {
            Ok(received) => {
                if handshaken {
                    self.on_tls_up(slot);
                }
                if plain.len() > length {
                    self.on_bytes(slot, &plain);
                } else if let Some(link) = self.link(slot) {
                    link.stash.keep(&plain[..length]);
                }
                if received.closed {
                    self.on_ended_by_tls(slot);
                }
            }
            Err(e) => self.remove(slot, &format!("TLS: {e}")),
        }
        if plain.capacity() > SCRATCH_BYTES_MAX {
            plain = Vec::new();
        }
        self.plain = plain;
        if self.cipher.capacity() > SCRATCH_BYTES_MAX {
            self.cipher = Vec::new();
        }
    }

    fn on_bytes(&mut self, slot: u32, data: &[u8]) {
        let Some(link) = self.link(slot) else { return };
        match (&link.stage, link.role) {
            (Stage::Relayed, Role::Client) => self.with_session(slot, |worker, session| {
                worker.forward_requests(slot, session, data)
            }),
            (Stage::Relayed, Role::Backend) => {
                let client = link.peer;
                self.with_session(client, |worker, session| {
                    worker.forward_replies(client, slot, session, data)
                });
            }
            (Stage::Messages, _) => self.on_messages(slot, data),
            (Stage::Preface(_), _) => self.on_preface(slot, data),
            (Stage::TlsAsked(_), _) => self.on_tls_answer(slot, data),
            (Stage::Connecting(_) | Stage::TlsHandshake(_) | Stage::Closing, _) => {}
        }
    }

    /// Works on a session while its client link stays reachable; what the step finds
    /// wrong with the protocol ends the session.
    pub(crate) fn with_session(
        &mut self,
        client: u32,
        step: impl FnOnce(&mut Self, &mut Session) -> Result<(), Violation>,
    ) {
        let Some(link) = self.link(client) else {
            return;
        };
        let Some(mut session) = link.session.take() else {
            return;
        };
        let id = link.id;
        let result = step(self, &mut session);
        session.publish();
        // Unless the step has removed it; the slot may even be another's by now.
        if let Some(link) = self.link(client).filter(|link| link.id == id) {
            link.session = Some(session);
        }
        if let Err(violation) = result {
            self.finish(client, &violation.farewell());
        }
    }

    /// Requests. `data` starts at the end of what was forwarded before.
    pub(crate) fn forward_requests(
        &mut self,
        slot: u32,
        session: &mut Session,
        data: &[u8],
    ) -> Result<(), Violation> {
        let Some(link) = self.link(slot) else {
            return Ok(());
        };
        let (id, backend) = (link.id, link.peer);
        if matches!(session.hold, Hold::Stopped { .. } | Hold::Held) {
            link.input.extend_from_slice(data);
            return Ok(());
        }
        let stop = matches!(session.hold, Hold::Wanted { pass: false, .. });
        let mut sink = NoteSink::new(&self.shared.ring, id);
        let forwarded = session
            .tracker
            .frontend(data, stop, &mut sink)
            .map_err(Violation::Frontend)?;
        let (now, rest) = data.split_at(forwarded);
        if !now.is_empty() {
            session.publish(); // before the host can act on it, or anybody see that it did
            session.counters.received(now.len());
            self.emit(backend, now);
            if self.driver.clogged(backend) {
                self.set_pause(slot, pause::CLOGGED, true);
            }
        }
        // Part of a header is not yet the chunk that was to pass.
        if let Hold::Wanted { mode, pass } = session.hold
            && !(pass && now.is_empty())
        {
            session.hold = Hold::Wanted { mode, pass: false };
            if session.tracker.request_boundary() {
                if let Some(link) = self.link(slot) {
                    link.input = rest.to_vec();
                }
                self.stop_client(slot, session, mode);
                return Ok(());
            }
        }
        if let Some(link) = self.link(slot) {
            link.stash.keep(rest);
        }
        Ok(())
    }

    /// Replies. `client` is the session's client slot, `slot` the backend's.
    pub(crate) fn forward_replies(
        &mut self,
        client: u32,
        slot: u32,
        session: &mut Session,
        data: &[u8],
    ) -> Result<(), Violation> {
        let Some(link) = self.link(client) else {
            return Ok(());
        };
        let id = link.id;
        let mut rest = data;
        loop {
            let mut sink = NoteSink::new(&self.shared.ring, id);
            let movable = session.hold == Hold::Held && session.tracker.quiescent();
            let span = session
                .tracker
                .backend(rest, &mut sink)
                .map_err(Violation::Backend)?;
            if span.bytes == 0 {
                break;
            }
            let (now, later) = rest.split_at(span.bytes);
            match span.owner {
                // A held session outlives its backend: it is about to get another, or its
                // farewell. But what the client has the first half of, it gets whole.
                Owner::Client if sink.fatal && movable => {}
                Owner::Client => {
                    session.publish();
                    session.counters.sent(now.len());
                    self.emit(client, now);
                }
                Owner::Own => self.own_replies(slot, session, now)?,
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        if let Some(link) = self.link(slot) {
            link.stash.keep(rest);
        }
        if self.driver.clogged(client) {
            self.set_pause(slot, pause::CLOGGED, true);
        }
        match session.hold {
            Hold::Stopped { .. } => self.check_hold(client, session),
            Hold::Wanted { mode, .. } => self.stop_if_answered(client, session, mode),
            Hold::None | Hold::Held => {}
        }
        Ok(())
    }

    /// Replies to what we injected: whole messages go up, the client sees nothing.
    fn own_replies(
        &self,
        backend: u32,
        session: &mut Session,
        data: &[u8],
    ) -> Result<(), Violation> {
        session.own_replies.extend_from_slice(data);
        if session.own_replies.len() > OWN_REPLIES_BYTES_MAX {
            return Err(Violation::Own("a reply to our own request is too long"));
        }
        let whole =
            whole_messages(&session.own_replies, OWN_REPLIES_BYTES_MAX).map_err(Violation::Own)?;
        if whole > 0 {
            let rest = session.own_replies.split_off(whole);
            let told = mem::replace(&mut session.own_replies, rest);
            if let Some(link) = self.peek(backend) {
                self.note(
                    Note::Messages {
                        link: link.id,
                        data: told,
                    },
                    false,
                );
            }
        }
        Ok(())
    }
}

/// Why a session cannot go on.
#[derive(Debug)]
pub(crate) enum Violation {
    Frontend(WireError),
    Backend(WireError),
    Own(&'static str),
}

impl Violation {
    /// The ErrorResponse that the client is left with.
    fn farewell(&self) -> Vec<u8> {
        let (code, text) = match self {
            Self::Frontend(e) => (
                "08P01",
                format!("pywire: protocol violation by the client: {e}"),
            ),
            Self::Backend(e) => (
                "08P01",
                format!("pywire: protocol violation by the host: {e}"),
            ),
            Self::Own(text) => ("XX000", format!("pywire: {text}")),
        };
        farewell(code, &text)
    }
}

/// An ErrorResponse that ends a session.
pub(crate) fn farewell(code: &str, text: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, value) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', code), (b'M', text)] {
        body.push(field);
        body.extend_from_slice(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    let mut message = vec![b'E'];
    message.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    message.extend_from_slice(&body);
    message
}
