//! A client, two hosts played by the test, and an engine between them.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::time::{Duration, Instant};

use pywire_relay::{Dial, DriverChoice, Engine, LinkId, Note, Settings, adopt};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
pub(crate) const READY: &[u8] = b"Z\x00\x00\x00\x05I";
pub(crate) const IN_BLOCK: &[u8] = b"Z\x00\x00\x00\x05T";

pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut m = vec![tag];
    m.extend((body.len() as u32 + 4).to_be_bytes());
    m.extend(body);
    m
}

pub(crate) fn query(text: &str) -> Vec<u8> {
    message(b'Q', &[text.as_bytes(), b"\0"].concat())
}

pub(crate) fn complete(tag: &str, ready: &[u8]) -> Vec<u8> {
    [
        message(b'C', &[tag.as_bytes(), b"\0"].concat()),
        ready.to_vec(),
    ]
    .concat()
}

pub(crate) fn startup() -> Vec<u8> {
    let body = [&196_608u32.to_be_bytes()[..], b"user\0u\0\0"].concat();
    [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()
}

pub(crate) fn settings(driver: DriverChoice) -> Settings {
    Settings {
        workers: 2,
        driver,
        notes_max: 64,
        receive_bytes: 65536,
        startup_seconds_max: Duration::from_secs(1),
        flush_seconds_max: Duration::from_secs(1),
        startups_max: 50,
        message_bytes_max: 1 << 20,
        statements_bytes_max: 1 << 20,
        tcp_user_timeout_ms: 0,
        keepalive_idle_seconds: 60,
    }
}

/// An engine, its client door, and two hosts.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) door: SocketAddr,
    pub(crate) notes: Vec<Note>,
    pub(crate) hosts: [TcpListener; 2],
}

impl World {
    pub(crate) fn new(driver: DriverChoice) -> Self {
        Self::with(settings(driver))
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let engine = Engine::start(settings).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let door = listener.local_addr().unwrap();
        engine.listen(adopt(OwnedFd::from(listener).into_raw_fd()).unwrap(), None);
        let hosts = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        Self {
            engine,
            door,
            notes: Vec::new(),
            hosts,
        }
    }

    /// Waits for the first note that `pick` takes, keeping the others.
    pub(crate) fn wait<T>(&mut self, what: &str, pick: impl Fn(&Note) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.notes.iter().position(|n| pick(n).is_some()) {
                return pick(&self.notes.remove(at)).unwrap();
            }
            assert!(Instant::now() < end, "no {what} among {:?}", self.notes);
            self.notes.extend(self.engine.drain(10));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn client(&mut self) -> (TcpStream, LinkId) {
        let mut stream = TcpStream::connect(self.door).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&startup()).unwrap();
        let link = self.wait("Opened", |n| {
            if let Note::Opened { link, .. } = n {
                Some(*link)
            } else {
                None
            }
        });
        (stream, link)
    }

    pub(crate) fn backend(&mut self, host: usize, near: LinkId) -> (TcpStream, LinkId) {
        let stream = TcpStream::connect(self.hosts[host].local_addr().unwrap()).unwrap();
        let dial = Dial {
            tls: None,
            tls_required: false,
            direct_tls: false,
            server_name: String::new(),
            hello: b"hello".to_vec(),
        };
        let fd = adopt(OwnedFd::from(stream).into_raw_fd()).unwrap();
        let link = self.engine.dial(fd, Some(near), dial);
        let (mut peer, _) = self.hosts[host].accept().unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(read(&mut peer, 5), b"hello");
        peer.write_all(READY).unwrap();
        let told = self.wait("Messages", |n| match n {
            Note::Messages { link: l, data } if *l == link => Some(data.clone()),
            _ => None,
        });
        assert_eq!(told, READY);
        (peer, link)
    }

    pub(crate) fn session(&mut self) -> (TcpStream, TcpStream, LinkId) {
        let (mut client, session) = self.client();
        let (host, link) = self.backend(0, session);
        self.engine.pair(session, link, 1, READY.to_vec());
        assert_eq!(read(&mut client, READY.len()), READY);
        (client, host, session)
    }

    pub(crate) fn held(&mut self, session: LinkId, generation: u64) -> bool {
        self.wait("Held", |n| match n {
            Note::Held {
                session: s,
                generation: g,
                quiescent,
                ..
            } if *s == session && *g == generation => Some(*quiescent),
            _ => None,
        })
    }

    pub(crate) fn refused(&mut self) -> &'static str {
        self.wait("Refused", |n| {
            if let Note::Refused { reason, .. } = n {
                Some(*reason)
            } else {
                None
            }
        })
    }

    pub(crate) fn closed(&mut self, link: LinkId) -> String {
        self.wait("Closed", |n| match n {
            Note::Closed { link: l, reason } if *l == link => Some(reason.clone()),
            _ => None,
        })
    }
}

pub(crate) fn read(stream: &mut TcpStream, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// That nothing comes for a moment. (A wait that can only pass too easily, never fail by chance.)
pub(crate) fn silent(stream: &mut TcpStream) {
    stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
}

/// Each test runs on both drivers.
macro_rules! on_both_drivers {
    ($($name:ident),* $(,)?) => {
        mod epoll { $(#[test] fn $name() { super::$name(&mut super::common::World::new(pywire_relay::DriverChoice::Epoll)); })* }
        mod io_uring { $(#[test] fn $name() { super::$name(&mut super::common::World::new(pywire_relay::DriverChoice::IoUring)); })* }
    };
}
