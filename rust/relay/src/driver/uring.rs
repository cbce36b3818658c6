//! Completion: io_uring with multishot receive, provided buffers, and one system call for
//! a whole turn: everything sent since the last wait goes in with the wait itself.
//!
//! Received bytes lie in a buffer of the ring. A small send is copied and the buffer goes
//! back to the kernel at once; a large one is sent from where it lies, and the buffer is
//! lent until the kernel has done with it. Memory is bounded by the number of buffers: a
//! receive that finds none is armed again when one comes back.
//!
//! A completion for every send would end each wait at once and double the system calls.
//! So a send is first *tried*: it may not block, and the kernel tells only if it could not
//! send everything. When the completions of the turn it was submitted in have been seen,
//! silence means success. What is left of a send that failed is sent the patient way.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use io_uring::squeue::Entry;
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::buffers::Buffers;
use super::operation::{Operation, Piece, user_data};
use super::{Chunk, Driver, Event, Kind};
use crate::socket::{self, EventFd};

const SQ_ENTRIES: u32 = 1024;
const CQ_ENTRIES: u32 = 8192;
/// A send up to this size is copied: cheaper than keeping the buffer from the kernel.
const COPIED_BYTES_MAX: usize = 4096;
/// Owed to a slot: above this its source waits, below a quarter it goes on.
const OWED_BYTES_MAX: usize = 1 << 20;
/// Copied sends whose memory is kept for the next ones.
const SPARE_MAX: usize = 1024;

const WAKE: u64 = u64::MAX;
const CANCEL: u64 = u64::MAX - 1;

#[derive(Debug)]
struct Slot {
    fd: RawFd,
    uses: u32,
    kind: Kind,
    /// The worker wants to read.
    reading: bool,
    /// A receive (or accept) is with the kernel.
    armed: bool,
    /// A send is with the kernel.
    sending: Option<Piece>,
    /// That send is a trial, whose success is told by silence.
    trial: bool,
    queue: VecDeque<Piece>,
    owed: usize,
    /// The worker was told that this slot is clogged, or not flushed: it awaits news.
    clog_told: bool,
    flush_awaited: bool,
    broken: bool,
}

pub(crate) struct UringDriver {
    ring: IoUring,
    wake: Arc<EventFd>,
    woken: bool,
    buffers: Buffers,
    slots: Vec<Option<Slot>>,
    uses: u32,
    /// Sends of slots that have gone, until the kernel is done with their bytes.
    dying: HashMap<u64, Piece>,
    events: VecDeque<Event>,
    /// Completions put aside.
    reaped: VecDeque<cqueue::Entry>,
    /// Sends tried since the last submission, and those of the last submission itself.
    tried: Vec<u64>,
    settling: Vec<u64>,
    /// Slots whose receive ended for want of buffers.
    starved: Vec<u32>,
    spare: Vec<Vec<u8>>,
}

impl UringDriver {
    /// Sets the ring up; must be called on the thread that will use it.
    ///
    /// # Errors
    /// When the kernel lacks or forbids what is needed: the caller falls back to epoll.
    pub(crate) fn new(wake: Arc<EventFd>, receive_bytes: usize) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_cqsize(CQ_ENTRIES)
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(SQ_ENTRIES)?;
        let buffers = Buffers::register(&ring, receive_bytes)?;
        let mut driver = Self {
            ring,
            wake,
            woken: false,
            buffers,
            slots: Vec::new(),
            uses: 0,
            dying: HashMap::new(),
            events: VecDeque::new(),
            reaped: VecDeque::new(),
            tried: Vec::new(),
            settling: Vec::new(),
            starved: Vec::new(),
            spare: Vec::new(),
        };
        driver.arm_wake();
        Ok(driver)
    }

    fn push(&mut self, entry: &Entry) {
        loop {
            // SAFETY: whatever the entry points to (bytes of a piece in `sending` or
            // `dying`) stays where it is until its completion has been seen.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            self.submit_all();
        }
    }

    /// Hands over everything that has been pushed, without waiting.
    fn submit_all(&mut self) {
        while !self.ring.submission().is_empty() {
            if self.ring.submit().is_err() {
                // Completions are in the way: put them aside, in order.
                self.reaped.extend(self.ring.completion());
            }
        }
    }

    fn arm_wake(&mut self) {
        let fd = Fd(self.wake.as_raw_fd());
        self.push(
            &opcode::PollAdd::new(fd, libc::POLLIN as u32)
                .multi(true)
                .build()
                .user_data(WAKE),
        );
    }

    fn slot(&mut self, slot: u32) -> Option<&mut Slot> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Gives a slot's receive, accept or connect to the kernel.
    fn arm(&mut self, slot: u32) {
        let Some(s) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        if s.armed || !s.reading || s.broken {
            return;
        }
        s.armed = true;
        let fd = Fd(s.fd);
        let entry = match s.kind {
            Kind::Stream => opcode::RecvMulti::new(fd, Buffers::GROUP)
                .build()
                .user_data(user_data(Operation::Receive, s.uses, slot)),
            Kind::Listener => opcode::AcceptMulti::new(fd)
                .flags(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
                .build()
                .user_data(user_data(Operation::Accept, s.uses, slot)),
            Kind::Connecting => opcode::PollAdd::new(fd, libc::POLLOUT as u32)
                .build()
                .user_data(user_data(Operation::Connect, s.uses, slot)),
        };
        self.push(&entry);
    }

    /// Gives the next piece of a slot to the kernel, if none is there.
    fn start_send(&mut self, slot: u32, trial: bool) {
        let Some(s) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        if s.sending.is_some() || s.kind != Kind::Stream {
            return;
        }
        let Some(piece) = s.queue.pop_front() else {
            return;
        };
        let bytes = match &piece {
            Piece::Copied { bytes, sent } => &bytes[*sent..],
            Piece::Lent { buffer, range } => self.buffers.bytes(*buffer, range.clone()),
        };
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let data = user_data(Operation::Send, s.uses, slot);
        let patience = if trial { libc::MSG_DONTWAIT } else { 0 };
        let send = opcode::Send::new(Fd(s.fd), bytes.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL | patience);
        let mut entry = send.build().user_data(data);
        if trial {
            entry = entry.flags(squeue::Flags::SKIP_SUCCESS);
            self.tried.push(data);
        }
        s.trial = trial;
        s.sending = Some(piece);
        self.push(&entry);
    }

    /// Whether something can only go on once the sends just tried are settled: then the
    /// next wait must not block, as no completion may be on its way.
    fn awaits_settling(&self) -> bool {
        let slot = |data: &u64| self.slots.get(*data as u32 as usize)?.as_ref();
        let waited_for = |s: &Slot| s.clog_told || s.flush_awaited || !s.queue.is_empty();
        !self.tried.is_empty()
            && (!self.starved.is_empty() || self.tried.iter().filter_map(slot).any(waited_for))
    }

    /// Nothing was told of these sends, and everything has been: they are done.
    fn settle(&mut self) {
        let mut settling = mem::take(&mut self.settling);
        for data in settling.drain(..) {
            let slot = data as u32;
            if let Some(piece) = self.dying.remove(&data) {
                self.release(piece);
            } else if let Some(s) = self.slot(slot)
                && s.trial
                && data == user_data(Operation::Send, s.uses, slot)
            {
                let left = s.sending.as_ref().map_or(0, Piece::left);
                self.sent(slot, i32::try_from(left).unwrap_or(i32::MAX));
            }
        }
        self.settling = settling;
    }

    fn release(&mut self, piece: Piece) {
        match piece {
            Piece::Copied { mut bytes, .. } => {
                if self.spare.len() < SPARE_MAX && bytes.capacity() <= COPIED_BYTES_MAX {
                    bytes.clear();
                    self.spare.push(bytes);
                }
            }
            Piece::Lent { buffer, .. } => self.buffers.give_back(buffer),
        }
        self.feed();
    }

    /// Arms again what had to stop for want of buffers.
    fn feed(&mut self) {
        if !self.starved.is_empty() && self.buffers.available() > 0 {
            for slot in mem::take(&mut self.starved) {
                self.arm(slot);
            }
        }
    }

    fn sent(&mut self, slot: u32, result: i32) {
        let Some(s) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        let Some(mut piece) = s.sending.take() else {
            return;
        };
        let trial = mem::replace(&mut s.trial, false);
        let n = match result {
            0.. => result.unsigned_abs() as usize,
            _ if trial && -result == libc::EAGAIN || -result == libc::EINTR => 0,
            _ => return self.send_failed(slot, piece, -result),
        };
        s.owed -= n;
        piece.advance(n);
        let rest = piece.left() > 0;
        if rest {
            s.queue.push_front(piece);
        } else {
            let unclogged = s.clog_told && s.owed <= OWED_BYTES_MAX / 4;
            let flushed = s.flush_awaited && s.owed == 0;
            s.clog_told &= !unclogged;
            s.flush_awaited &= !flushed;
            if unclogged || flushed {
                self.events.push_back(Event::Unclogged(slot));
            }
            self.release(piece);
        }
        self.start_send(slot, !rest);
    }

    fn send_failed(&mut self, slot: u32, piece: Piece, code: i32) {
        let left = self.slot(slot).map(|s| {
            s.broken = true;
            s.owed = 0;
            mem::take(&mut s.queue)
        });
        self.release(piece);
        left.into_iter()
            .flatten()
            .for_each(|piece| self.release(piece));
        let error = io::Error::from_raw_os_error(code);
        self.events.push_back(Event::Ended(slot, Some(error)));
    }

    fn received(&mut self, slot: u32, result: i32, flags: u32) -> Option<Event> {
        let buffer = cqueue::buffer_select(flags);
        let Some(s) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            buffer
                .into_iter()
                .for_each(|b| self.buffers.give_back_unlent(b));
            return None;
        };
        if !cqueue::more(flags) {
            s.armed = false;
        }
        match (result, buffer) {
            (1.., Some(buffer)) => {
                if !s.armed {
                    self.arm(slot);
                }
                let chunk = self.buffers.take(buffer, result.unsigned_abs() as usize);
                Some(Event::Data(slot, chunk))
            }
            (0, buffer) => {
                buffer
                    .into_iter()
                    .for_each(|b| self.buffers.give_back_unlent(b));
                s.reading = false;
                Some(Event::Ended(slot, None))
            }
            (error, buffer) => {
                buffer
                    .into_iter()
                    .for_each(|b| self.buffers.give_back_unlent(b));
                match -error {
                    libc::ENOBUFS => {
                        self.starved.push(slot);
                        self.feed();
                        None
                    }
                    libc::ECANCELED | libc::EINTR | libc::EAGAIN => {
                        self.arm(slot);
                        None
                    }
                    code => {
                        s.reading = false;
                        Some(Event::Ended(slot, Some(io::Error::from_raw_os_error(code))))
                    }
                }
            }
        }
    }

    fn accepted(&mut self, slot: u32, result: i32, flags: u32) -> Option<Event> {
        // SAFETY: a non-negative result of accept is a fresh descriptor that is ours.
        let fd = (result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(result) });
        let s = self.slots.get_mut(slot as usize).and_then(Option::as_mut)?;
        s.armed = cqueue::more(flags);
        if fd.is_none() && socket::accept_is_exhausted(&io::Error::from_raw_os_error(-result)) {
            s.reading = false;
            return Some(Event::AcceptExhausted(slot));
        }
        self.arm(slot);
        let fd = fd?;
        let peer = socket::peer_address(fd.as_raw_fd());
        Some(Event::Accepted(slot, fd, peer))
    }

    fn connected(&mut self, slot: u32) -> Option<Event> {
        let s = self.slot(slot)?;
        s.armed = false;
        s.kind = Kind::Stream;
        let result = socket::pending_error(s.fd);
        if result.is_ok() {
            self.arm(slot);
            self.start_send(slot, true);
        }
        Some(Event::Connected(slot, result))
    }

    fn completed(&mut self, entry: &cqueue::Entry) -> Option<Event> {
        let (data, result, flags) = (entry.user_data(), entry.result(), entry.flags());
        match data {
            CANCEL => return None,
            WAKE => {
                self.wake.clear();
                self.woken = true;
                if !cqueue::more(flags) {
                    self.arm_wake();
                }
                return None;
            }
            _ => {}
        }
        let (operation, slot) = (data >> 60, data as u32);
        let live = self
            .slot(slot)
            .is_some_and(|s| data << 4 == user_data(Operation::Receive, s.uses, slot) << 4);
        if !live {
            if let Some(piece) = self.dying.remove(&data) {
                self.release(piece);
            } else if let Some(buffer) = cqueue::buffer_select(flags) {
                self.buffers.give_back_unlent(buffer);
            } else if operation == Operation::Accept as u64 && result >= 0 {
                // SAFETY: a fresh descriptor that nobody else knows; closed at once.
                drop(unsafe { OwnedFd::from_raw_fd(result) });
            }
            return None;
        }
        match operation {
            0 => self.received(slot, result, flags),
            1 => {
                if self.slot(slot).is_some_and(|s| s.trial) {
                    // It was not silent. The slot's next send has the same name, and the
                    // silence of this one must not be taken for that one's success.
                    self.tried.retain(|tried| *tried != data);
                    self.settling.retain(|tried| *tried != data);
                }
                self.sent(slot, result);
                None
            }
            2 => self.accepted(slot, result, flags),
            _ => self.connected(slot),
        }
    }
}

impl Driver for UringDriver {
    fn add(&mut self, slot: u32, fd: RawFd, kind: Kind) -> io::Result<()> {
        self.uses = self.uses.wrapping_add(1) & 0x0fff_ffff;
        let index = slot as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some(Slot {
            fd,
            uses: self.uses,
            kind,
            reading: true,
            armed: false,
            sending: None,
            trial: false,
            queue: VecDeque::new(),
            owed: 0,
            clog_told: false,
            flush_awaited: false,
            broken: false,
        });
        self.arm(slot);
        Ok(())
    }

    fn remove(&mut self, slot: u32) {
        // The descriptor's number may be another connection's by the next submission.
        self.submit_all();
        let Some(mut s) = self.slots.get_mut(slot as usize).and_then(Option::take) else {
            return;
        };
        if let Some(piece) = s.sending.take() {
            self.dying
                .insert(user_data(Operation::Send, s.uses, slot), piece);
        }
        s.queue.into_iter().for_each(|piece| self.release(piece));
        if s.kind == Kind::Listener {
            let target = user_data(Operation::Accept, s.uses, slot);
            self.push(&opcode::AsyncCancel::new(target).build().user_data(CANCEL));
            self.submit_all();
        } else {
            // What is with the kernel holds the socket open: end it, and it ends too.
            socket::shutdown(s.fd);
        }
    }

    fn send(&mut self, slot: u32, data: &[u8]) -> io::Result<()> {
        let Some(s) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            return Ok(());
        };
        if s.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        s.owed += data.len();
        let lent = (data.len() > COPIED_BYTES_MAX)
            .then(|| self.buffers.lend(data))
            .flatten();
        let piece = match lent {
            Some((buffer, range)) => Piece::Lent { buffer, range },
            None => {
                if let Some(Piece::Copied { bytes, .. }) = s.queue.back_mut()
                    && bytes.len() + data.len() <= COPIED_BYTES_MAX
                {
                    bytes.extend_from_slice(data);
                    return Ok(());
                }
                let mut bytes = self.spare.pop().unwrap_or_default();
                bytes.extend_from_slice(data);
                Piece::Copied { bytes, sent: 0 }
            }
        };
        s.queue.push_back(piece);
        self.start_send(slot, true);
        Ok(())
    }

    fn clogged(&mut self, slot: u32) -> bool {
        let Some(s) = self.slot(slot) else {
            return false;
        };
        s.clog_told |= s.owed > OWED_BYTES_MAX;
        s.owed > OWED_BYTES_MAX
    }

    fn flushed(&mut self, slot: u32) -> bool {
        let Some(s) = self.slot(slot) else {
            return true;
        };
        s.flush_awaited |= s.owed > 0;
        s.owed == 0
    }

    fn owed(&self, slot: u32) -> usize {
        let s = self.slots.get(slot as usize).and_then(Option::as_ref);
        s.map_or(0, |s| s.owed)
    }

    fn want_read(&mut self, slot: u32, on: bool) {
        let Some(s) = self.slot(slot) else { return };
        s.reading = on;
        if on {
            self.arm(slot);
        } else if s.armed && s.kind == Kind::Stream {
            let target = user_data(Operation::Receive, s.uses, slot);
            self.push(&opcode::AsyncCancel::new(target).build().user_data(CANCEL));
        }
    }

    fn wait(&mut self, timeout_ms: i32) {
        if !self.ring.submission().cq_overflow() {
            self.settle(); // or else the kernel has put completions aside that nobody has seen
        }
        let idle = self.events.is_empty() && self.reaped.is_empty();
        let want = usize::from(idle && self.settling.is_empty() && !self.awaits_settling());
        let result = if timeout_ms < 0 {
            self.ring.submit_and_wait(want)
        } else {
            let nanoseconds = (timeout_ms % 1000).unsigned_abs() * 1_000_000;
            let timeout = Timespec::new()
                .sec(u64::from(timeout_ms.unsigned_abs() / 1000))
                .nsec(nanoseconds);
            self.ring
                .submitter()
                .submit_with_args(want, &SubmitArgs::new().timespec(&timeout))
        };
        // ETIME, EINTR and EBUSY mean: look at what there is.
        let _ = result;
        if self.ring.submission().is_empty() {
            self.settling.append(&mut self.tried);
        }
    }

    fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        loop {
            let entry = match self.reaped.pop_front() {
                Some(entry) => entry,
                None => self.ring.completion().next()?,
            };
            if let Some(event) = self.completed(&entry) {
                return Some(event);
            }
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
        }
    }

    fn recycle(&mut self, chunk: Chunk) {
        self.buffers.recycle(chunk);
        self.feed();
    }

    fn woken(&mut self) -> bool {
        mem::take(&mut self.woken)
    }
}

impl Drop for UringDriver {
    fn drop(&mut self) {
        // The kernel may still read lent bytes: wait for what is under way to end.
        for slot in 0..self.slots.len() as u32 {
            self.remove(slot);
        }
        for _ in 0..100 {
            if self.dying.is_empty() {
                return;
            }
            self.wait(50);
            while self.next().is_some() {}
        }
        mem::forget(mem::take(&mut self.dying)); // rather leaked than freed under the kernel
    }
}
