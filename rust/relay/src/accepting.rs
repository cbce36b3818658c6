//! Listeners, and new clients on their way to a worker.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::command::Command;
use crate::driver::{Driver, Kind};
use crate::link::{Link, Role, Stage};
use crate::note::LinkId;
use crate::socket;
use crate::tls::ServerContext;
use crate::worker::{Listener, Place, TICK, Worker};

impl<D: Driver> Worker<D> {
    pub(crate) fn listen(&mut self, listener: Listener) {
        let fd = listener.fd.as_raw_fd();
        let slot = self.place(Place::Listener(listener));
        if self.driver.add(slot, fd, Kind::Listener).is_err() {
            self.places[slot as usize] = Place::Free;
            self.free.push(slot);
        }
    }

    pub(crate) fn unlisten(&mut self, listener: u64) {
        let found = self
            .places
            .iter()
            .position(|p| matches!(p, Place::Listener(l) if l.listener == listener));
        if let Some(slot) = found {
            self.remove(slot as u32, "");
        }
    }

    pub(crate) fn on_accepted(&mut self, slot: u32, fd: OwnedFd, peer: String) {
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

    pub(crate) fn adopt(
        &mut self,
        fd: OwnedFd,
        listener: u64,
        peer: String,
        tls: Option<ServerContext>,
    ) {
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
            if !self.has_deadlines() {
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
