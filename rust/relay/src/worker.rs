//! One worker thread: a driver, the links that it owns, and the commands it is sent.
//!
//! Both links of a session live on the same worker, so that a message never crosses a
//! thread. Nothing here blocks but `Driver::wait` (and a full note ring, on purpose).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use pywire_wire::TrackerConfig;

use crate::command::Command;
use crate::driver::{Driver, Event, Kind};
use crate::engine::{Settings, Shared};
use crate::guard::AbortOnPanic;
use crate::link::{Link, NOBODY, Role, Stage};
use crate::note::{LinkId, Note};
use crate::session::Hold;
use crate::tls::ServerContext;

/// How long a closing link may take to flush its last words and see the peer go.
pub(crate) const CLOSING_SECONDS_MAX: Duration = Duration::from_secs(2);
/// Terminate: the session is over, and nothing was lost.
pub(crate) const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];
/// How often deadlines are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) listener: u64,
    pub(crate) fd: OwnedFd,
    pub(crate) tls: Option<ServerContext>,
}

#[derive(Debug)]
pub(crate) enum Place {
    Free,
    Listener(Listener),
    Link(Box<Link>),
}

#[derive(Debug)]
pub(crate) struct Worker<D> {
    pub(crate) number: usize,
    pub(crate) driver: D,
    pub(crate) shared: Arc<Shared>,
    pub(crate) tracker_config: TrackerConfig,
    commands: Receiver<Command>,
    pub(crate) places: Vec<Place>,
    pub(crate) free: Vec<u32>,
    slots: HashMap<LinkId, u32>,
    /// Startup deadlines, oldest first (they are all equally long).
    pub(crate) startups: VecDeque<(Instant, LinkId)>,
    pub(crate) startups_open: usize,
    pub(crate) closings: VecDeque<(Instant, LinkId)>,
    /// Listeners that found no descriptor left; they try again at the next tick.
    resting: Vec<u32>,
    pub(crate) next_tick: Instant,
    stopping: bool,
    /// Scratch for decrypted and for encrypted bytes; empty between events.
    pub(crate) plain: Vec<u8>,
    pub(crate) cipher: Vec<u8>,
    /// Links found broken while something else was being done.
    broken: Vec<(u32, LinkId, String)>,
}

impl<D: Driver> Worker<D> {
    pub(crate) fn new(
        number: usize,
        driver: D,
        shared: Arc<Shared>,
        commands: Receiver<Command>,
    ) -> Self {
        let tracker_config = shared.settings.tracker_config();
        Self {
            number,
            driver,
            shared,
            tracker_config,
            commands,
            places: Vec::new(),
            free: Vec::new(),
            slots: HashMap::new(),
            startups: VecDeque::new(),
            startups_open: 0,
            closings: VecDeque::new(),
            resting: Vec::new(),
            next_tick: Instant::now() + TICK,
            stopping: false,
            plain: Vec::new(),
            cipher: Vec::new(),
            broken: Vec::new(),
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The thread's life.
    pub(crate) fn run(mut self) {
        let _guard = AbortOnPanic;
        while !self.stopping {
            let timeout_ms = if !self.has_deadlines() {
                -1
            } else {
                self.next_tick
                    .saturating_duration_since(Instant::now())
                    .as_millis() as i32
                    + 1
            };
            self.driver.wait(timeout_ms);
            while let Some(event) = self.driver.next() {
                self.on_event(event);
                self.bury();
            }
            if self.driver.woken() {
                while let Ok(command) = self.commands.try_recv() {
                    self.on_command(command);
                    self.bury();
                }
            }
            if timeout_ms >= 0 && Instant::now() >= self.next_tick {
                self.tick();
            }
        }
        for slot in 0..self.places.len() as u32 {
            self.remove(slot, "the engine has stopped");
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Data(slot, mut chunk) => {
                self.on_data(slot, &mut chunk);
                self.driver.recycle(chunk);
            }
            Event::Ended(slot, error) => self.on_ended(slot, error),
            Event::AcceptExhausted(slot) => self.resting.push(slot),
            Event::Unclogged(slot) => self.on_unclogged(slot),
            Event::Connected(slot, result) => self.on_connected(slot, result),
            Event::Accepted(slot, fd, peer) => self.on_accepted(slot, fd, peer),
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Listen { listener, fd, tls } => self.listen(Listener { listener, fd, tls }),
            Command::Unlisten { listener } => self.unlisten(listener),
            Command::SetListenerTls { listener, tls } => {
                for place in &mut self.places {
                    if let Place::Listener(l) = place
                        && l.listener == listener
                    {
                        l.tls.clone_from(&tls);
                    }
                }
            }
            Command::Adopt {
                fd,
                listener,
                peer,
                tls,
            } => self.adopt(fd, listener, peer, tls),
            Command::Dial { link, fd, dial } => self.dial(link, fd, dial),
            Command::Send { link, data } => self.send_messages(link, &data),
            Command::Pair {
                client,
                backend,
                generation,
                hello,
            } => self.pair(client, backend, generation, &hello),
            Command::Hold {
                session,
                generation,
                mode,
            } => self.hold(session, generation, mode),
            Command::Release {
                session,
                generation,
            } => self.release(session, generation),
            Command::Inject {
                session,
                generation,
                data,
            } => self.inject(session, generation, &data),
            Command::CutOver {
                session,
                generation,
                backend,
                hello,
            } => {
                self.cut_over(session, generation, backend, &hello);
            }
            Command::Close { link, farewell } => self.close_command(link, &farewell),
            Command::Stop => self.stopping = true,
        }
    }

    // ---- links ----

    pub(crate) fn slot_of(&self, link: LinkId) -> Option<u32> {
        self.slots.get(&link).copied()
    }

    pub(crate) fn link(&mut self, slot: u32) -> Option<&mut Link> {
        match self.places.get_mut(slot as usize) {
            Some(Place::Link(link)) => Some(link),
            _ => None,
        }
    }

    pub(crate) fn place(&mut self, place: Place) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.places[slot as usize] = place;
            return slot;
        }
        self.places.push(place);
        self.places.len() as u32 - 1
    }

    /// Takes a link in; it is driven from here on.
    pub(crate) fn insert(&mut self, link: Link, kind: Kind) -> io::Result<u32> {
        let (id, fd) = (link.id, link.fd.as_raw_fd());
        let slot = self.place(Place::Link(Box::new(link)));
        if let Err(e) = self.driver.add(slot, fd, kind) {
            self.places[slot as usize] = Place::Free;
            self.free.push(slot);
            return Err(e);
        }
        self.slots.insert(id, slot);
        self.shared.links[self.number].fetch_add(1, Relaxed);
        Ok(slot)
    }

    /// Closes a link at once, and its session's other link in the way that fits.
    pub(crate) fn remove(&mut self, slot: u32, reason: &str) {
        let place = self
            .places
            .get_mut(slot as usize)
            .map(|place| std::mem::replace(place, Place::Free));
        match place {
            None | Some(Place::Free) => {}
            Some(Place::Listener(_)) => {
                self.driver.remove(slot);
                self.free.push(slot);
            }
            Some(Place::Link(link)) => {
                self.driver.remove(slot);
                self.free.push(slot);
                self.slots.remove(&link.id);
                self.shared.links[self.number].fetch_sub(1, Relaxed);
                if matches!(link.stage, Stage::Preface(_)) {
                    self.startups_open -= 1;
                }
                if link.role == Role::Client {
                    self.shared.registry.remove(link.id);
                }
                self.note(
                    Note::Closed {
                        link: link.id,
                        reason: reason.to_owned(),
                    },
                    false,
                );
                let peer = link.peer;
                let role = link.role;
                drop(link);
                self.orphan(peer, role, reason);
            }
        }
    }

    /// The other side of a session has gone.
    pub(crate) fn orphan(&mut self, peer: u32, gone: Role, reason: &str) {
        let Some(link) = self.link(peer) else { return };
        link.peer = NOBODY;
        let waits = |session: &crate::session::Session| {
            session.hold == Hold::Held && session.tracker.quiescent()
        };
        if gone == Role::Backend && link.session.as_deref().is_some_and(waits) {
            return; // it is about to be given another backend; `release` says farewell if not
        }
        match gone {
            // The host sees what it would have seen: its client is gone.
            Role::Client => self.remove(peer, reason),
            // The client still gets what the host has said before.
            Role::Backend => self.finish(peer, &[]),
        }
    }

    /// Marks a link as broken; it is removed when the present step is done.
    pub(crate) fn mark_broken(&mut self, slot: u32, reason: String) {
        if let Some(id) = self.link(slot).map(|link| link.id) {
            self.broken.push((slot, id, reason));
        }
    }

    fn bury(&mut self) {
        while let Some((slot, id, reason)) = self.broken.pop() {
            if self.slot_of(id) == Some(slot) {
                self.remove(slot, &reason);
            }
        }
    }

    /// Sends protocol bytes on a link, through TLS where it has it.
    pub(crate) fn emit(&mut self, slot: u32, data: &[u8]) {
        let Some(Place::Link(link)) = self.places.get_mut(slot as usize) else {
            return;
        };
        let result = if let Some(tls) = &mut link.tls {
            self.cipher.clear();
            tls.transmit(data, &mut self.cipher)
                .map_err(|e| io::Error::other(e.to_string()))
                .and_then(|()| self.driver.send(slot, &self.cipher))
        } else {
            self.driver.send(slot, data)
        };
        if let Err(e) = result {
            self.mark_broken(slot, send_failure(&e));
        }
    }

    pub(crate) fn peek(&self, slot: u32) -> Option<&Link> {
        match self.places.get(slot as usize) {
            Some(Place::Link(link)) => Some(link),
            _ => None,
        }
    }

    pub(crate) fn note(&self, note: Note, quiet: bool) {
        self.shared.ring.push(note, quiet);
    }

    pub(crate) fn set_pause(&mut self, slot: u32, bit: u8, on: bool) {
        let Some(link) = self.link(slot) else { return };
        let before = link.paused;
        link.paused = if on { before | bit } else { before & !bit };
        let now = link.paused;
        if (before == 0) != (now == 0) {
            self.driver.want_read(slot, now == 0);
        }
    }

    /// Whether `tick` has anything to look at.
    pub(crate) fn has_deadlines(&self) -> bool {
        !(self.startups.is_empty() && self.closings.is_empty() && self.resting.is_empty())
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.next_tick = now + TICK;
        for slot in std::mem::take(&mut self.resting) {
            if let Some(Place::Listener(_)) = self.places.get(slot as usize) {
                self.driver.want_read(slot, true);
            }
        }
        while let Some(id) = due(&mut self.startups, now) {
            if let Some(slot) = self.slot_of(id)
                && self
                    .link(slot)
                    .is_some_and(|link| matches!(link.stage, Stage::Preface(_)))
            {
                self.remove(slot, "startup took too long");
            }
        }
        // Without those that have finished no wait needs a time limit for their sake.
        let (places, slots) = (&self.places, &self.slots);
        self.startups.retain(|(_, id)| {
            let place = slots.get(id).and_then(|slot| places.get(*slot as usize));
            matches!(place, Some(Place::Link(link)) if matches!(link.stage, Stage::Preface(_)))
        });
        while let Some(id) = due(&mut self.closings, now) {
            let Some(slot) = self.slot_of(id) else {
                continue;
            };
            let owed = self.driver.owed(slot);
            let flush_seconds_max = self.settings().flush_seconds_max;
            let Some(link) = self.link(slot) else {
                continue;
            };
            // A slow reader keeps its last rows, as long as it reads at all.
            match link.owed {
                _ if owed == 0 => self.remove(slot, "closed"),
                Some((before, since)) if owed >= before && now - since >= flush_seconds_max => {
                    self.remove(slot, "the peer does not read");
                }
                seen => {
                    if seen.is_none_or(|(before, _)| owed < before) {
                        link.owed = Some((owed, now));
                    }
                    self.closings.push_back((now + CLOSING_SECONDS_MAX, id));
                }
            }
        }
    }
}

/// The next link whose deadline has passed.
fn due(deadlines: &mut VecDeque<(Instant, LinkId)>, now: Instant) -> Option<LinkId> {
    if deadlines.front()?.0 > now {
        return None;
    }
    deadlines.pop_front().map(|(_, id)| id)
}

pub(crate) fn send_failure(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        io::ErrorKind::BrokenPipe => "the peer has closed".to_owned(),
        _ => error.to_string(),
    }
}
