//! The engine: its workers, and the doors through which commands go in and notes come out.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pywire_wire::TrackerConfig;

use crate::command::{Command, Dial, HoldMode};
use crate::driver::epoll::EpollDriver;
use crate::driver::uring::UringDriver;
use crate::note::{LinkId, Note};
use crate::ring::Ring;
use crate::socket::{EventFd, SocketOptions};
use crate::stats::{Registry, SessionStats};
use crate::tls::ServerContext;
use crate::worker::Worker;

/// PostgreSQL's own limit of a message: 1 GiB less one.
const RELAYED_MESSAGE_BYTES_MAX: u32 = 0x3fff_ffff + 4;

/// As good as for ever.
const SECONDS_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Which way of moving bytes to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverChoice {
    /// The best that the kernel allows.
    Auto,
    /// Readiness, one system call for each receive and send.
    Epoll,
    /// Completion, one system call for a whole turn.
    IoUring,
}

/// What an engine is started with. Every limit carries its unit in its name.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads, 1 to 64.
    pub workers: usize,
    /// The way of moving bytes.
    pub driver: DriverChoice,
    /// Notes that may wait before the workers do.
    pub notes_max: usize,
    /// The size of a receive buffer. Buffers belong to workers, not to sessions.
    pub receive_bytes: usize,
    /// How long a client may take to finish its startup packet.
    pub startup_seconds_max: Duration,
    /// How long a closing link that does not read may keep what it was sent.
    pub flush_seconds_max: Duration,
    /// Clients that may be at it at the same time; the oldest is cut off for a new one.
    pub startups_max: usize,
    /// The longest message in message mode (relayed messages stream, up to PostgreSQL's own limit).
    pub message_bytes_max: usize,
    /// Prepared statements kept for a session, so that it can move.
    pub statements_bytes_max: usize,
    /// Milliseconds until unacknowledged data ends a connection; 0 leaves the kernel's default.
    pub tcp_user_timeout_ms: u32,
    /// Idle seconds before the first keepalive probe.
    pub keepalive_idle_seconds: u32,
}

impl Settings {
    pub(crate) fn tracker_config(&self) -> TrackerConfig {
        TrackerConfig {
            message_bytes_max: RELAYED_MESSAGE_BYTES_MAX,
            statements_bytes_max: self.statements_bytes_max,
            ..TrackerConfig::default()
        }
    }

    pub(crate) fn socket_options(&self) -> SocketOptions {
        SocketOptions {
            tcp_user_timeout_ms: self.tcp_user_timeout_ms,
            keepalive_idle_seconds: self.keepalive_idle_seconds,
        }
    }
}

/// What all workers and the engine's owner share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) ring: Ring,
    pub(crate) registry: Registry,
    /// Open links of each worker.
    pub(crate) links: Vec<AtomicUsize>,
    pub(crate) serial: AtomicU64,
    doors: Vec<Door>,
}

#[derive(Debug)]
struct Door {
    sender: Mutex<Sender<Command>>,
    wake: Arc<EventFd>,
}

impl Shared {
    pub(crate) fn submit(&self, worker: usize, command: Command) {
        let Some(door) = self.doors.get(worker) else {
            return;
        };
        // A worker that has ended takes nothing: its links have been reported closed.
        let _ = door
            .sender
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(command);
        door.wake.signal();
    }

    pub(crate) fn lightest_worker(&self) -> usize {
        (0..self.links.len())
            .min_by_key(|&n| self.links[n].load(Relaxed))
            .unwrap_or(0)
    }
}

/// The data plane: threads that own sockets. It never calls its owner; it leaves notes.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    driver: DriverChoice,
    listeners: AtomicU64,
}

impl Engine {
    /// Starts the workers.
    ///
    /// # Errors
    /// When the kernel gives no descriptors or threads, or refuses the driver asked for.
    pub fn start(mut settings: Settings) -> io::Result<Self> {
        for limit in [
            &mut settings.startup_seconds_max,
            &mut settings.flush_seconds_max,
        ] {
            *limit = (*limit).min(SECONDS_MAX); // further ahead the clock cannot count
        }
        let workers = settings.workers.clamp(1, 64);
        let mut doors = Vec::new();
        let mut receivers = Vec::new();
        for _ in 0..workers {
            let (sender, receiver) = mpsc::channel();
            doors.push(Door {
                sender: Mutex::new(sender),
                wake: Arc::new(EventFd::new()?),
            });
            receivers.push(receiver);
        }
        let shared = Arc::new(Shared {
            ring: Ring::new(settings.notes_max)?,
            settings,
            registry: Registry::default(),
            links: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            serial: AtomicU64::new(1),
            doors,
        });
        let mut engine = Self {
            driver: shared.settings.driver,
            shared,
            threads: Mutex::default(),
            listeners: AtomicU64::new(1),
        };
        for (number, receiver) in receivers.into_iter().enumerate() {
            // The first worker settles what `Auto` means for all.
            engine.driver = engine.start_worker(number, receiver)?;
        }
        Ok(engine)
    }

    /// Starts a thread; a ring must be set up by the thread that uses it, so the thread
    /// reports which driver it got before it goes to work.
    fn start_worker(&self, number: usize, receiver: Receiver<Command>) -> io::Result<DriverChoice> {
        let (report, reported) = mpsc::sync_channel(1);
        let (shared, choice) = (Arc::clone(&self.shared), self.driver);
        let thread = thread::Builder::new()
            .name(format!("pywire-relay-{number}"))
            .spawn(move || run_worker(number, choice, shared, receiver, &report))?;
        self.threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(thread);
        reported
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("a worker thread has ended at its start")))
    }

    /// The driver that is in use.
    pub fn driver(&self) -> DriverChoice {
        self.driver
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.shared.links.len()
    }

    /// Readable while notes wait.
    pub fn event_fd(&self) -> RawFd {
        self.shared.ring.event_fd()
    }

    /// Takes up to `limit` notes.
    pub fn drain(&self, limit: usize) -> Vec<Note> {
        self.shared.ring.drain(limit)
    }

    /// Accepts clients on a listening socket from now on.
    pub fn listen(&self, fd: OwnedFd, tls: Option<ServerContext>) -> u64 {
        let listener = self.listeners.fetch_add(1, Relaxed);
        self.shared.submit(0, Command::Listen { listener, fd, tls });
        listener
    }

    /// Closes a listening socket.
    pub fn unlisten(&self, listener: u64) {
        self.shared.submit(0, Command::Unlisten { listener });
    }

    /// Changes what new connections of a listener are offered.
    pub fn set_listener_tls(&self, listener: u64, tls: Option<ServerContext>) {
        self.shared
            .submit(0, Command::SetListenerTls { listener, tls });
    }

    /// Makes a backend link of a socket whose connect has been started.
    pub fn dial(&self, fd: OwnedFd, near: Option<LinkId>, dial: Dial) -> LinkId {
        let worker = near.map_or_else(|| self.shared.lightest_worker(), LinkId::worker);
        let link = LinkId::new(worker, self.shared.serial.fetch_add(1, Relaxed));
        self.shared.submit(
            worker,
            Command::Dial {
                link,
                fd,
                dial: Box::new(dial),
            },
        );
        link
    }

    fn to(&self, link: LinkId, command: Command) {
        self.shared.submit(link.worker(), command);
    }

    /// Sends messages on a link in message mode.
    pub fn send(&self, link: LinkId, data: Vec<u8>) {
        self.to(link, Command::Send { link, data });
    }

    /// Joins two links to a session; `hello` goes to the client first.
    pub fn pair(&self, client: LinkId, backend: LinkId, generation: u64, hello: Vec<u8>) {
        self.to(
            client,
            Command::Pair {
                client,
                backend,
                generation,
                hello,
            },
        );
    }

    /// Stops the client at a request boundary.
    pub fn hold(&self, session: LinkId, generation: u64, mode: HoldMode) {
        self.to(
            session,
            Command::Hold {
                session,
                generation,
                mode,
            },
        );
    }

    /// Lets a held client go on.
    pub fn release(&self, session: LinkId, generation: u64) {
        self.to(
            session,
            Command::Release {
                session,
                generation,
            },
        );
    }

    /// Sends our own request to a held session's host; the client sees nothing of it.
    pub fn inject(&self, session: LinkId, generation: u64, data: Vec<u8>) {
        self.to(
            session,
            Command::Inject {
                session,
                generation,
                data,
            },
        );
    }

    /// Moves a held session to another backend link.
    pub fn cut_over(&self, session: LinkId, generation: u64, backend: LinkId, hello: Vec<u8>) {
        self.to(
            session,
            Command::CutOver {
                session,
                generation,
                backend,
                hello,
            },
        );
    }

    /// Says `farewell` on a link and closes it; of a session, both links.
    pub fn close(&self, link: LinkId, farewell: Vec<u8>) {
        self.to(link, Command::Close { link, farewell });
    }

    /// A look at a session's counters.
    pub fn session_stats(&self, session: LinkId) -> Option<SessionStats> {
        self.shared.registry.look(session)
    }

    /// Open links and sessions.
    pub fn totals(&self) -> (usize, usize) {
        (
            self.shared.links.iter().map(|n| n.load(Relaxed)).sum(),
            self.shared.registry.len(),
        )
    }

    /// Closes every link and ends the threads.
    pub fn stop(&self) {
        self.shared.ring.stop();
        for worker in 0..self.workers() {
            self.shared.submit(worker, Command::Stop);
        }
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// A worker thread's whole life, with the driver chosen.
fn run_worker(
    number: usize,
    choice: DriverChoice,
    shared: Arc<Shared>,
    receiver: Receiver<Command>,
    report: &SyncSender<io::Result<DriverChoice>>,
) {
    let (wake, receive_bytes) = (
        Arc::clone(&shared.doors[number].wake),
        shared.settings.receive_bytes,
    );
    if choice != DriverChoice::Epoll {
        match UringDriver::new(Arc::clone(&wake), receive_bytes) {
            Ok(driver) => {
                let _ = report.send(Ok(DriverChoice::IoUring));
                return Worker::new(number, driver, shared, receiver).run();
            }
            Err(e) if choice == DriverChoice::IoUring => {
                let _ = report.send(Err(e));
                return;
            }
            Err(_) => {} // Auto: the kernel lacks it or forbids it
        }
    }
    match EpollDriver::new(wake, receive_bytes) {
        Ok(driver) => {
            let _ = report.send(Ok(DriverChoice::Epoll));
            Worker::new(number, driver, shared, receiver).run();
        }
        Err(e) => {
            let _ = report.send(Err(e));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}
