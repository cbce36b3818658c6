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
use crate::link::{Link, NOBODY, Role, Stage, pause};
use crate::note::{LinkId, Note};
use crate::session::Hold;
use crate::socket;
use crate::tls::ServerContext;

/// How long a closing link may take to flush its last words and see the peer go.
const CLOSING_SECONDS_MAX: Duration = Duration::from_secs(2);
/// Terminate: the session is over, and nothing was lost.
pub(crate) const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Listener {
    listener: u64,
    fd: OwnedFd,
    tls: Option<ServerContext>,
}

#[derive(Debug)]
enum Place {
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
    places: Vec<Place>,
    free: Vec<u32>,
    slots: HashMap<LinkId, u32>,
    /// Startup deadlines, oldest first (they are all equally long).
    startups: VecDeque<(Instant, LinkId)>,
    startups_open: usize,
    closings: VecDeque<(Instant, LinkId)>,
    next_tick: Instant,
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
        while !self.stopping {
            let timeout_ms = if self.startups.is_empty() && self.closings.is_empty() {
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
            while let Ok(command) = self.commands.try_recv() {
                self.on_command(command);
                self.bury();
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

    fn place(&mut self, place: Place) -> u32 {
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
    fn orphan(&mut self, peer: u32, gone: Role, reason: &str) {
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

    // ---- ending ----

    /// Says `farewell`, flushes, and closes once the peer has gone or the time is up.
    pub(crate) fn finish(&mut self, slot: u32, farewell: &[u8]) {
        let Some(link) = self.link(slot) else { return };
        if matches!(link.stage, Stage::Closing) {
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
        if let Some(Place::Link(link)) = self.places.get_mut(slot as usize)
            && let Some(tls) = &mut link.tls
        {
            self.cipher.clear();
            tls.close_notify(&mut self.cipher);
            let _ = self.driver.send(slot, &self.cipher);
        }
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

    pub(crate) fn shutdown(&mut self, slot: u32) {
        if let Some(link) = self.link(slot) {
            socket::shutdown_write(link.fd.as_raw_fd());
        }
    }

    fn close_command(&mut self, id: LinkId, farewell: &[u8]) {
        if let Some(slot) = self.slot_of(id) {
            self.finish(slot, farewell);
        }
    }

    fn on_ended(&mut self, slot: u32, error: Option<io::Error>) {
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
        if !held && self.driver.flushed(backend) {
            if let Some(Place::Link(link)) = self.places.get_mut(backend as usize)
                && let Some(tls) = &mut link.tls
            {
                self.cipher.clear();
                tls.close_notify(&mut self.cipher);
                let _ = self.driver.send(backend, &self.cipher);
            }
            self.shutdown(backend);
        }
    }

    fn on_unclogged(&mut self, slot: u32) {
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

    fn tick(&mut self) {
        let now = Instant::now();
        self.next_tick = now + TICK;
        while let Some(id) = due(&mut self.startups, now) {
            if let Some(slot) = self.slot_of(id)
                && self
                    .link(slot)
                    .is_some_and(|link| matches!(link.stage, Stage::Preface(_)))
            {
                self.remove(slot, "startup took too long");
            }
        }
        while let Some(id) = due(&mut self.closings, now) {
            if let Some(slot) = self.slot_of(id) {
                self.remove(slot, "closed");
            }
        }
    }

    // ---- accepting ----

    fn listen(&mut self, listener: Listener) {
        let fd = listener.fd.as_raw_fd();
        let slot = self.place(Place::Listener(listener));
        if self.driver.add(slot, fd, Kind::Listener).is_err() {
            self.places[slot as usize] = Place::Free;
            self.free.push(slot);
        }
    }

    fn unlisten(&mut self, listener: u64) {
        let found = self
            .places
            .iter()
            .position(|p| matches!(p, Place::Listener(l) if l.listener == listener));
        if let Some(slot) = found {
            self.remove(slot as u32, "");
        }
    }

    fn on_accepted(&mut self, slot: u32, fd: OwnedFd, peer: String) {
        let Some(Place::Listener(l)) = self.places.get(slot as usize) else {
            return;
        };
        let (listener, tls) = (l.listener, l.tls.clone());
        match self.shared.lightest_worker() {
            worker if worker == self.number => self.adopt(fd, listener, peer, tls),
            worker => self.shared.submit(
                worker,
                Command::Adopt {
                    fd,
                    listener,
                    peer,
                    tls,
                },
            ),
        }
    }

    fn adopt(&mut self, fd: OwnedFd, listener: u64, peer: String, tls: Option<ServerContext>) {
        let startups_max = self
            .settings()
            .startups_max
            .div_ceil(self.shared.links.len())
            .max(1);
        while self.startups_open >= startups_max {
            let Some((_, id)) = self.startups.pop_front() else {
                break;
            };
            if let Some(slot) = self.slot_of(id)
                && self
                    .link(slot)
                    .is_some_and(|link| matches!(link.stage, Stage::Preface(_)))
            {
                self.remove(slot, "too many clients have not finished their startup");
            }
        }
        let id = LinkId::new(self.number, self.shared.serial.fetch_add(1, Relaxed));
        if socket::prepare(fd.as_raw_fd(), self.settings().socket_options()).is_err() {
            return; // the client has gone already
        }
        let preface = crate::link::Preface {
            listener,
            peer,
            tls,
            tls_asked: false,
            gss_asked: false,
        };
        let link = Link::new(id, fd, Role::Client, Stage::Preface(Box::new(preface)));
        if self.insert(link, Kind::Stream).is_ok() {
            self.startups_open += 1;
            if self.startups.is_empty() && self.closings.is_empty() {
                self.next_tick = Instant::now() + TICK;
            }
            self.startups
                .push_back((Instant::now() + self.settings().startup_seconds_max, id));
        }
    }

    /// A client's startup packet is complete: it no longer counts as a startup.
    pub(crate) fn startup_done(&mut self) {
        self.startups_open -= 1;
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
