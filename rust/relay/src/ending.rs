//! How links and sessions end: farewells, half-closed clients, the last bytes.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Instant;

use crate::driver::Driver;
use crate::link::{NOBODY, Role, Stage, pause};
use crate::note::LinkId;
use crate::socket;
use crate::worker::{CLOSING_SECONDS_MAX, Place, TERMINATE, Worker, send_failure};

impl<D: Driver> Worker<D> {
    /// Says `farewell`, flushes, and closes once the peer has gone or the time is up.
    pub(crate) fn finish(&mut self, slot: u32, farewell: &[u8]) {
        let Some(link) = self.link(slot) else { return };
        if matches!(link.stage, Stage::Closing) {
            return;
        }
        if matches!(link.stage, Stage::Connecting(_)) {
            self.remove(slot, "closed"); // nobody is there to say farewell to
            return;
        }
        let was_preface = matches!(link.stage, Stage::Preface(_));
        link.stage = Stage::Closing;
        link.input = Vec::new();
        let (id, ended) = (link.id, link.paused & pause::ENDED != 0);
        let (peer, role) = (std::mem::replace(&mut link.peer, NOBODY), link.role);
        let quiescent = link
            .session
            .take()
            .is_some_and(|session| session.tracker.quiescent());
        if was_preface {
            self.startups_open -= 1;
        }
        let polite = role == Role::Client && quiescent;
        if polite {
            if let Some(backend) = self.link(peer) {
                backend.peer = NOBODY;
            }
            self.finish(peer, &TERMINATE);
        } else if peer != NOBODY {
            self.orphan(peer, role, "closed");
        }
        if !farewell.is_empty() {
            self.emit(slot, farewell);
        }
        self.close_notify(slot);
        self.set_pause(
            slot,
            pause::CLOGGED | pause::HELD | pause::UNANSWERED,
            false,
        );
        if self.driver.flushed(slot) {
            if ended {
                self.mark_broken(slot, "closed".to_owned());
                return;
            }
            self.shutdown(slot);
        }
        self.closings
            .push_back((Instant::now() + CLOSING_SECONDS_MAX, id));
    }

    /// Tells the peer of a TLS link that no more will come.
    fn close_notify(&mut self, slot: u32) {
        if let Some(Place::Link(link)) = self.places.get_mut(slot as usize)
            && let Some(tls) = &mut link.tls
        {
            self.cipher.clear();
            tls.close_notify(&mut self.cipher);
            let _ = self.driver.send(slot, &self.cipher);
        }
    }

    pub(crate) fn shutdown(&mut self, slot: u32) {
        if let Some(link) = self.link(slot) {
            socket::shutdown_write(link.fd.as_raw_fd());
        }
    }

    pub(crate) fn close_command(&mut self, id: LinkId, farewell: &[u8]) {
        if let Some(slot) = self.slot_of(id) {
            self.finish(slot, farewell);
        }
    }

    pub(crate) fn on_ended(&mut self, slot: u32, error: Option<io::Error>) {
        let Some(link) = self.link(slot) else { return };
        if let Some(e) = error {
            let reason = send_failure(&e);
            self.remove(slot, &reason);
            return;
        }
        let (role, peer) = (link.role, link.peer);
        match link.stage {
            Stage::Relayed if role == Role::Client => {
                // Half-closed, as psql with its input ended: the answers still come.
                self.set_pause(slot, pause::ENDED, true);
                self.pass_end(slot, peer);
            }
            Stage::Closing => {
                if self.driver.flushed(slot) {
                    self.remove(slot, "closed");
                } else {
                    self.set_pause(slot, pause::ENDED, true);
                }
            }
            _ => self.remove(
                slot,
                if role == Role::Client {
                    "the client has closed"
                } else {
                    "the host has closed"
                },
            ),
        }
    }

    /// The peer has ended its direction with close_notify.
    pub(crate) fn on_ended_by_tls(&mut self, slot: u32) {
        self.on_ended(slot, None);
    }

    /// Passes a client's end of input on, once the host has all that came before it.
    pub(crate) fn pass_end(&mut self, client: u32, backend: u32) {
        let held = self
            .link(client)
            .is_some_and(|link| link.paused & pause::HELD != 0);
        if held {
            return;
        }
        let Some(link) = self.link(backend) else {
            return;
        };
        if !std::mem::replace(&mut link.end_passed, true) {
            self.close_notify(backend);
        }
        // Not before the notice has left: the kernel would refuse to send it.
        if self.driver.flushed(backend) {
            self.shutdown(backend);
        }
    }

    pub(crate) fn on_unclogged(&mut self, slot: u32) {
        let Some(link) = self.link(slot) else { return };
        let (peer, closing, ended) = (
            link.peer,
            matches!(link.stage, Stage::Closing),
            link.paused & pause::ENDED != 0,
        );
        if closing {
            if !self.driver.flushed(slot) {
                return;
            }
            if ended {
                self.remove(slot, "closed");
            } else {
                self.shutdown(slot);
            }
            return;
        }
        self.set_pause(peer, pause::CLOGGED, false);
        if self
            .link(peer)
            .is_some_and(|l| l.role == Role::Client && l.paused & pause::ENDED != 0)
        {
            self.pass_end(peer, slot);
        }
    }
}
