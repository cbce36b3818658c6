//! Readiness: level-triggered epoll, big reads into one shared buffer, writes at once.
//!
//! In steady state a message costs one `recv` and one `send`, and a turn of the loop one
//! `epoll_wait`: `EPOLLOUT` is asked for only after a short write, and a short read is
//! taken as the end of what there was.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use super::{Chunk, Driver, Event, HEADROOM, Kind};
use crate::socket::{self, Epoll, EventFd};

/// The token of the worker's own wake-up descriptor.
const WAKE: u64 = u64::MAX;
const EVENTS_MAX: usize = 256;
/// Full reads from one socket, or accepts, before the others have their turn.
const READS_PER_TURN_MAX: u8 = 4;
/// A drained backlog larger than this is given back to the allocator.
const BACKLOG_KEPT_BYTES_MAX: usize = 4096;

const IN: u32 = libc::EPOLLIN as u32 | libc::EPOLLRDHUP as u32;
const OUT: u32 = libc::EPOLLOUT as u32;
const BROKEN: u32 = libc::EPOLLERR as u32 | libc::EPOLLHUP as u32;

#[derive(Debug)]
struct Slot {
    fd: RawFd,
    uses: u32,
    interest: u32,
    kind: Kind,
    /// Registered with epoll. A broken socket that nobody wants to read is taken out, as
    /// the kernel would report it for ever.
    registered: bool,
    backlog: Vec<u8>,
    sent: usize,
}

#[derive(Debug)]
pub(crate) struct EpollDriver {
    epoll: Epoll,
    wake: Arc<EventFd>,
    woken: bool,
    slots: Vec<Option<Slot>>,
    uses: u32,
    events: Box<[libc::epoll_event]>,
    ready: usize,
    current: usize,
    reads_left: u8,
    buffer: Box<[u8]>,
}

impl EpollDriver {
    pub(crate) fn new(wake: Arc<EventFd>, receive_bytes: usize) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(wake.as_raw_fd(), libc::EPOLLIN as u32, WAKE)?;
        Ok(Self {
            epoll,
            wake,
            woken: false,
            slots: Vec::new(),
            uses: 0,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX].into(),
            ready: 0,
            current: 0,
            reads_left: READS_PER_TURN_MAX,
            buffer: vec![0; HEADROOM + receive_bytes.max(4096)].into(),
        })
    }

    fn slot(&mut self, slot: u32) -> Option<&mut Slot> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    fn set_interest(&mut self, slot: u32, interest: u32) {
        let Some(Some(s)) = self.slots.get_mut(slot as usize) else {
            return;
        };
        if s.interest == interest && s.registered {
            return;
        }
        s.interest = interest;
        let token = token(slot, s.uses);
        let result = if s.registered {
            self.epoll.modify(s.fd, interest, token)
        } else {
            self.epoll.add(s.fd, interest, token)
        };
        s.registered = result.is_ok();
    }

    fn advance(&mut self) {
        self.current += 1;
        self.reads_left = READS_PER_TURN_MAX;
    }

    /// Hands more of the backlog to the kernel; whether it is empty now.
    fn flush(s: &mut Slot) -> io::Result<bool> {
        while s.sent < s.backlog.len() {
            match socket::send(s.fd, &s.backlog[s.sent..]) {
                Ok(n) => s.sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        s.sent = 0;
        s.backlog.clear();
        if s.backlog.capacity() > BACKLOG_KEPT_BYTES_MAX {
            s.backlog = Vec::new();
        }
        Ok(true)
    }

    fn connected(&mut self, slot: u32) -> Event {
        self.advance();
        let Some(s) = self.slot(slot) else {
            return Event::Connected(slot, Ok(()));
        };
        let result = socket::pending_error(s.fd);
        s.kind = Kind::Stream;
        self.set_interest(slot, if result.is_ok() { IN } else { 0 });
        Event::Connected(slot, result)
    }

    fn accepted(&mut self, slot: u32, fd: RawFd) -> Option<Event> {
        match socket::accept(fd) {
            Ok((fd, peer)) => {
                self.reads_left -= 1;
                if self.reads_left == 0 {
                    self.advance(); // those who are in have their turn first
                }
                Some(Event::Accepted(slot, fd, peer))
            }
            Err(e) => {
                self.advance();
                if !socket::accept_is_exhausted(&e) {
                    return None; // nobody left, or the one that was has gone
                }
                self.want_read(slot, false);
                Some(Event::AcceptExhausted(slot))
            }
        }
    }

    fn writable(&mut self, slot: u32) -> Option<Event> {
        let s = self.slot(slot)?;
        match Self::flush(s) {
            Ok(false) => None,
            Ok(true) => {
                let interest = s.interest & !OUT;
                self.set_interest(slot, interest);
                Some(Event::Unclogged(slot))
            }
            Err(e) => Some(Event::Ended(slot, Some(e))),
        }
    }

    fn readable(&mut self, slot: u32, fd: RawFd) -> Option<Event> {
        match socket::receive(fd, &mut self.buffer[HEADROOM..]) {
            Ok(0) => {
                self.advance();
                Some(Event::Ended(slot, None))
            }
            Ok(n) => {
                self.reads_left -= 1;
                if HEADROOM + n < self.buffer.len() || self.reads_left == 0 {
                    self.advance();
                }
                let buffer = mem::take(&mut self.buffer);
                Some(Event::Data(
                    slot,
                    Chunk {
                        buffer,
                        start: HEADROOM,
                        end: HEADROOM + n,
                    },
                ))
            }
            Err(e) => {
                self.advance();
                (e.kind() != io::ErrorKind::WouldBlock).then_some(Event::Ended(slot, Some(e)))
            }
        }
    }
}

fn token(slot: u32, uses: u32) -> u64 {
    u64::from(uses) << 32 | u64::from(slot)
}

impl Driver for EpollDriver {
    fn add(&mut self, slot: u32, fd: RawFd, kind: Kind) -> io::Result<()> {
        self.uses = self.uses.wrapping_add(1);
        let interest = if kind == Kind::Connecting { OUT } else { IN };
        self.epoll.add(fd, interest, token(slot, self.uses))?;
        let index = slot as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        let (uses, backlog) = (self.uses, Vec::new());
        self.slots[index] = Some(Slot {
            fd,
            uses,
            interest,
            kind,
            registered: true,
            backlog,
            sent: 0,
        });
        Ok(())
    }

    fn remove(&mut self, slot: u32) {
        if let Some(Some(s)) = self.slots.get_mut(slot as usize).map(Option::take)
            && s.registered
        {
            self.epoll.remove(s.fd);
        }
    }

    fn send(&mut self, slot: u32, data: &[u8]) -> io::Result<()> {
        let Some(s) = self.slot(slot) else {
            return Ok(());
        };
        let mut sent = 0;
        if s.backlog.is_empty() && s.kind == Kind::Stream {
            while sent < data.len() {
                match socket::send(s.fd, &data[sent..]) {
                    Ok(n) => sent += n,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e),
                }
            }
        }
        if sent < data.len() {
            s.backlog.extend_from_slice(&data[sent..]);
            let interest = s.interest | OUT;
            self.set_interest(slot, interest);
        }
        Ok(())
    }

    fn clogged(&mut self, slot: u32) -> bool {
        !self.flushed(slot)
    }

    fn flushed(&mut self, slot: u32) -> bool {
        self.slots
            .get(slot as usize)
            .and_then(Option::as_ref)
            .is_none_or(|s| s.backlog.is_empty())
    }

    fn owed(&self, slot: u32) -> usize {
        let s = self.slots.get(slot as usize).and_then(Option::as_ref);
        s.map_or(0, |s| s.backlog.len() - s.sent)
    }

    fn want_read(&mut self, slot: u32, on: bool) {
        if let Some(s) = self.slot(slot) {
            let interest = if on {
                s.interest | IN
            } else {
                s.interest & !IN
            };
            self.set_interest(slot, interest);
        }
    }

    fn wait(&mut self, timeout_ms: i32) {
        self.current = 0;
        self.reads_left = READS_PER_TURN_MAX;
        self.ready = self.epoll.wait(&mut self.events, timeout_ms);
    }

    fn next(&mut self) -> Option<Event> {
        while self.current < self.ready {
            let libc::epoll_event {
                events,
                u64: event_token,
            } = self.events[self.current];
            if event_token == WAKE {
                self.wake.clear();
                self.woken = true;
                self.advance();
                continue;
            }
            let slot = event_token as u32;
            let Some(s) = self
                .slot(slot)
                .filter(|s| token(slot, s.uses) == event_token)
            else {
                self.advance(); // removed, or used anew, since the kernel told
                continue;
            };
            let (fd, kind, reading) = (s.fd, s.kind, s.interest & IN != 0);
            let event = match kind {
                Kind::Connecting => Some(self.connected(slot)),
                Kind::Listener => self.accepted(slot, fd),
                Kind::Stream if events & OUT != 0 && s.interest & OUT != 0 => {
                    self.events[self.current].events &= !OUT;
                    self.writable(slot)
                }
                Kind::Stream if reading && events & (IN | BROKEN) != 0 => self.readable(slot, fd),
                Kind::Stream => {
                    if events & BROKEN != 0 {
                        s.registered = false;
                        self.epoll.remove(fd);
                    }
                    self.advance();
                    None
                }
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    fn recycle(&mut self, chunk: Chunk) {
        self.buffer = chunk.buffer;
    }

    fn woken(&mut self) -> bool {
        mem::take(&mut self.woken)
    }
}
