//! The session's commands: pair, hold, release, inject, cut over.
//!
//! Each carries the generation that it was decided under. What comes too late, or finds
//! the session in another state than it was decided for, is refused with a note.

use std::mem;
use std::sync::atomic::Ordering::Relaxed;

use pywire_wire::{Tracker, TransactionStatus};

use crate::command::HoldMode;
use crate::direction::farewell;
use crate::driver::Driver;
use crate::link::{NOBODY, Role, Stage, pause};
use crate::note::{LinkId, Note};
use crate::session::{Hold, NoteSink, Session};
use crate::worker::{TERMINATE, Worker};

impl<D: Driver> Worker<D> {
    fn refuse(
        &self,
        session: LinkId,
        generation: u64,
        command: &'static str,
        reason: &'static str,
    ) {
        self.note(
            Note::Refused {
                session,
                generation,
                command,
                reason,
            },
            false,
        );
    }

    /// The slot of a session's client link, if the session lives.
    fn session_slot(&mut self, id: LinkId) -> Option<u32> {
        let slot = self.slot_of(id)?;
        self.link(slot)
            .filter(|link| link.session.is_some())
            .map(|_| slot)
    }

    /// Runs `step` on a session whose generation is `generation`, or refuses.
    fn on_session(
        &mut self,
        id: LinkId,
        generation: u64,
        command: &'static str,
        step: impl FnOnce(&mut Self, u32, &mut Session) -> Result<(), &'static str>,
    ) {
        let Some(slot) = self.session_slot(id) else {
            self.refuse(id, generation, command, "there is no such session");
            return;
        };
        self.with_session(slot, |worker, session| {
            let result = if session.generation == generation {
                step(worker, slot, session)
            } else {
                Err("the generation is stale")
            };
            if let Err(reason) = result {
                worker.refuse(id, generation, command, reason);
            }
            Ok(())
        });
    }

    pub(crate) fn pair(
        &mut self,
        client_id: LinkId,
        backend_id: LinkId,
        generation: u64,
        hello: &[u8],
    ) {
        let (client, backend) = (self.slot_of(client_id), self.slot_of(backend_id));
        let ready = |worker: &mut Self, slot, role| worker.in_messages(slot, role).then_some(slot);
        let (Some(client), Some(backend)) = (
            client.and_then(|slot| ready(self, slot, Role::Client)),
            backend.and_then(|slot| ready(self, slot, Role::Backend)),
        ) else {
            self.refuse(
                client_id,
                generation,
                "pair",
                "a link has gone or is not ready",
            );
            // Whichever of the two is left has nobody to talk to.
            if let Some(client) = client {
                self.finish(client, &[]);
            }
            if let Some(backend) = backend {
                self.finish(backend, &TERMINATE);
            }
            return;
        };
        let counters = self.shared.registry.insert(client_id);
        counters.backend.store(backend_id.0, Relaxed);
        let session = Session {
            tracker: Tracker::new(&self.tracker_config, TransactionStatus::Idle),
            hold: Hold::None,
            generation,
            counters,
            own_replies: Vec::new(),
        };
        session.publish();
        self.emit(client, hello);
        self.join(client, backend);
        if let Some(link) = self.link(client) {
            link.session = Some(Box::new(session));
        }
        self.set_pause(client, pause::UNANSWERED, false);
        self.replay_input(client, backend);
    }

    fn in_messages(&mut self, slot: u32, role: Role) -> bool {
        self.link(slot)
            .is_some_and(|link| link.role == role && matches!(link.stage, Stage::Messages))
    }

    fn join(&mut self, client: u32, backend: u32) {
        for (slot, peer) in [(client, backend), (backend, client)] {
            if let Some(link) = self.link(slot) {
                link.stage = Stage::Relayed;
                link.peer = peer;
            }
        }
    }

    /// Bytes that came in before the links were joined, or while the client was held.
    fn replay_input(&mut self, client: u32, backend: u32) {
        for slot in [backend, client] {
            let Some(link) = self.link(slot) else {
                continue;
            };
            let input = mem::take(&mut link.input);
            if input.is_empty() {
                continue;
            }
            self.with_session(client, |worker, session| {
                if slot == client {
                    worker.forward_requests(client, session, &input)
                } else {
                    worker.forward_replies(client, backend, session, &input)
                }
            });
        }
    }

    pub(crate) fn hold(&mut self, id: LinkId, generation: u64, mode: HoldMode) {
        let Some(slot) = self.session_slot(id) else {
            self.refuse(id, generation, "hold", "there is no such session");
            return;
        };
        self.with_session(slot, |worker, session| {
            if generation <= session.generation {
                worker.refuse(id, generation, "hold", "the generation is stale");
                return Ok(());
            }
            if session.hold != Hold::None {
                worker.refuse(id, generation, "hold", "the session is held already");
                return Ok(());
            }
            session.generation = generation;
            session.hold = Hold::Wanted { mode, pass: false };
            if session.tracker.request_boundary() {
                worker.stop_between_chunks(slot, session, mode);
            }
            Ok(())
        });
    }

    /// Answers alone can bring a session to a boundary: an error has ended a copy, and the
    /// client may be silent from now on.
    pub(crate) fn stop_if_answered(&mut self, slot: u32, session: &mut Session, mode: HoldMode) {
        let tracker = &session.tracker;
        let idle = tracker.quiescent() && tracker.status() == TransactionStatus::Idle;
        if tracker.request_boundary() && (idle || mode == HoldMode::Requests) {
            self.stop_between_chunks(slot, session, mode);
        }
    }

    fn stop_between_chunks(&mut self, slot: u32, session: &mut Session, mode: HoldMode) {
        // An incomplete header is not yet part of a request: it waits too.
        if let Some(link) = self.link(slot) {
            let (stash, length) = link.stash.take();
            link.input = stash[..length].to_vec();
        }
        self.stop_client(slot, session, mode);
    }

    /// The client is at a request boundary: read no more of it.
    pub(crate) fn stop_client(&mut self, slot: u32, session: &mut Session, mode: HoldMode) {
        session.hold = Hold::Stopped { mode };
        self.set_pause(slot, pause::HELD, true);
        self.check_hold(slot, session);
    }

    /// Whether a stopped client may be called held by now.
    pub(crate) fn check_hold(&mut self, slot: u32, session: &mut Session) {
        let Hold::Stopped { mode } = session.hold else {
            return;
        };
        let Some(link) = self.link(slot) else { return };
        let id = link.id;
        let tracker = &session.tracker;
        let idle = tracker.quiescent() && tracker.status() == TransactionStatus::Idle;
        if mode == HoldMode::Idle && !idle {
            if !tracker.quiescent() && tracker.request_boundary() {
                return; // the host still owes answers
            }
            // Only the client can go on: a transaction is open, or the answers have shown
            // that its request is not at its end (COPY IN waits for data, an error for Sync).
            session.hold = Hold::Wanted { mode, pass: true };
            self.resume_client(slot, session);
            return;
        }
        session.hold = Hold::Held;
        self.note(session.held_note(id), false);
    }

    /// Reads the client again, beginning with what has waited.
    fn resume_client(&mut self, slot: u32, session: &mut Session) {
        self.set_pause(slot, pause::HELD, false);
        let Some(link) = self.link(slot) else { return };
        let input = mem::take(&mut link.input);
        let (ended, backend) = (link.paused & pause::ENDED != 0, link.peer);
        if !input.is_empty()
            && let Err(violation) = self.forward_requests(slot, session, &input)
        {
            self.mark_broken(slot, format!("{violation:?}"));
        }
        if ended {
            self.pass_end(slot, backend);
        }
    }

    pub(crate) fn release(&mut self, id: LinkId, generation: u64) {
        self.on_session(id, generation, "release", |worker, slot, session| {
            if session.hold == Hold::None {
                return Err("the session is not held");
            }
            session.hold = Hold::None;
            if worker.link(slot).is_some_and(|link| link.peer != NOBODY) {
                worker.resume_client(slot, session);
            }
            Ok(())
        });
        self.dismiss_if_alone(id);
    }

    /// A client whose host went away while it was held, and who was given no other.
    fn dismiss_if_alone(&mut self, id: LinkId) {
        let Some(slot) = self.session_slot(id) else {
            return;
        };
        let alone = |link: &mut crate::link::Link| {
            link.peer == NOBODY
                && link
                    .session
                    .as_ref()
                    .is_some_and(|session| session.hold == Hold::None)
        };
        if self.link(slot).is_some_and(alone) {
            self.finish(
                slot,
                &farewell("57P01", "terminating connection because its host has gone"),
            );
        }
    }

    pub(crate) fn inject(&mut self, id: LinkId, generation: u64, data: &[u8]) {
        self.on_session(id, generation, "inject", |worker, slot, session| {
            if session.hold != Hold::Held || !session.tracker.quiescent() {
                return Err("the session is not held and quiescent");
            }
            let Some(link) = worker.link(slot) else {
                return Err("the client has gone");
            };
            let backend = link.peer;
            if backend == NOBODY {
                return Err("the host has gone");
            }
            let mut sink = NoteSink::new(&worker.shared.ring, id);
            session
                .tracker
                .inject(data, &mut sink)
                .map_err(|_| "what is to be injected is not whole messages")?;
            worker.emit(backend, data);
            Ok(())
        });
    }

    pub(crate) fn cut_over(
        &mut self,
        id: LinkId,
        generation: u64,
        backend_id: LinkId,
        hello: &[u8],
    ) {
        self.on_session(id, generation, "cut_over", |worker, slot, session| {
            if session.hold != Hold::Held || !session.tracker.quiescent() {
                return Err("the session is not held and quiescent");
            }
            let Some(fresh) = worker.slot_of(backend_id) else {
                return Err("the new backend has gone");
            };
            if !worker.in_messages(fresh, Role::Backend) {
                return Err("the new backend is not ready");
            }
            let Some(link) = worker.link(slot) else {
                return Err("the client has gone");
            };
            let old = mem::replace(&mut link.peer, fresh);
            if let Some(link) = worker.link(old) {
                link.peer = NOBODY;
            }
            worker.finish(old, &TERMINATE);
            worker.emit(slot, hello);
            worker.join(slot, fresh);
            session.tracker.reset_backend(TransactionStatus::Idle);
            session.own_replies = Vec::new();
            session.counters.backend.store(backend_id.0, Relaxed);
            session.hold = Hold::None;
            worker.note(
                Note::CutOver {
                    session: id,
                    generation,
                },
                false,
            );
            // What the new host has said on its own since its login.
            let early = worker
                .link(fresh)
                .map(|link| mem::take(&mut link.input))
                .unwrap_or_default();
            if !early.is_empty()
                && worker
                    .forward_replies(slot, fresh, session, &early)
                    .is_err()
            {
                worker.mark_broken(slot, "protocol violation by the new host".to_owned());
            }
            worker.set_pause(slot, pause::CLOGGED, false);
            worker.resume_client(slot, session);
            Ok(())
        });
    }
}
