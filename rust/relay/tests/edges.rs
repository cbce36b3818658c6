//! Where relays break: odd chunk boundaries, peers that stand still, ends at the wrong moment.

#[macro_use]
mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use common::{IN_BLOCK, READY, World, complete, message, query, read, settings, silent};
use pywire_relay::tls::{ClientContext, ServerContext, Tls, Verify};
use pywire_relay::{Dial, DriverChoice, HoldMode, LinkId, Note, Settings, adopt};

const FATAL: &[u8] = b"SFATAL\0VFATAL\0C57P01\0Mgone\0\0";

on_both_drivers!(
    part_of_a_header_inside_a_transaction_does_not_upset_a_hold,
    a_hold_is_told_when_a_copy_fails_and_the_client_is_silent,
    readers_that_stand_still_do_not_stop_the_others,
    a_link_closed_while_it_connects_goes_away,
    a_held_client_is_not_left_with_half_a_farewell,
    a_client_held_for_a_cancel_gets_the_last_words_of_its_host,
    a_half_closed_client_gets_its_answers_from_a_host_with_tls,
    a_client_that_does_not_read_cannot_put_its_end_off,
    a_client_that_says_much_before_its_login_loses_nothing,
    bulk_comes_in_order_while_connections_come_and_go,
);

fn part_of_a_header_inside_a_transaction_does_not_upset_a_hold(world: &mut World) {
    let (mut client, mut host, session) = world.session();
    client.set_nodelay(true).unwrap();
    client.write_all(&query("begin")).unwrap();
    read(&mut host, query("begin").len());
    host.write_all(&complete("BEGIN", IN_BLOCK)).unwrap();
    read(&mut client, complete("BEGIN", IN_BLOCK).len());
    world.engine.hold(session, 2, HoldMode::Idle);
    std::thread::sleep(Duration::from_millis(20));
    let commit = query("commit");
    client.write_all(&commit[..3]).unwrap();
    silent(&mut host);
    client.write_all(&commit[3..]).unwrap();
    assert_eq!(read(&mut host, commit.len()), commit);
    host.write_all(&complete("COMMIT", READY)).unwrap();
    assert!(world.held(session, 2));
}

fn a_hold_is_told_when_a_copy_fails_and_the_client_is_silent(world: &mut World) {
    let (mut client, mut host, session) = world.session();
    client.write_all(&query("copy t from stdin")).unwrap();
    read(&mut host, query("copy t from stdin").len());
    let copy_in = message(b'G', b"\0\0\0");
    host.write_all(&copy_in).unwrap();
    read(&mut client, copy_in.len());
    world.engine.hold(session, 2, HoldMode::Idle);
    std::thread::sleep(Duration::from_millis(20));
    let failed = [
        message(b'E', b"SERROR\0VERROR\0C57014\0Mcanceled\0\0"),
        READY.to_vec(),
    ]
    .concat();
    host.write_all(&failed).unwrap();
    assert_eq!(read(&mut client, failed.len()), failed);
    assert!(world.held(session, 2));
}

/// Writes rows until nothing more is taken.
fn fill(host: &mut TcpStream) {
    host.set_nonblocking(true).unwrap();
    let row = message(b'D', &[7; 30_000]);
    let (mut at, mut stuck) = (0, 0);
    while stuck < 20 {
        match host.write(&row[at..]) {
            Ok(n) => (at, stuck) = ((at + n) % row.len(), 0),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                stuck += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(e) => panic!("{e}"),
        }
    }
}

fn readers_that_stand_still_do_not_stop_the_others(world: &mut World) {
    let mut stuck = Vec::new();
    for _ in 0..8 {
        let (mut client, mut host, _) = world.session();
        client.write_all(&query("bulk")).unwrap();
        read(&mut host, query("bulk").len());
        fill(&mut host);
        stuck.push((client, host));
    }
    for _ in 0..2 {
        let (mut client, mut host, _) = world.session();
        client.write_all(&query("x")).unwrap();
        assert_eq!(read(&mut host, query("x").len()), query("x"));
        let reply = [message(b'D', &[1; 100_000]), complete("SELECT 1", READY)].concat();
        host.write_all(&reply).unwrap();
        assert!(read(&mut client, reply.len()) == reply);
    }
}

fn a_link_closed_while_it_connects_goes_away(world: &mut World) {
    let stream = TcpStream::connect(world.hosts[0].local_addr().unwrap()).unwrap();
    let (_host, _) = world.hosts[0].accept().unwrap();
    let dial = Dial {
        tls: None,
        tls_required: false,
        direct_tls: false,
        server_name: String::new(),
        hello: b"hello".to_vec(),
    };
    let fd = std::os::fd::IntoRawFd::into_raw_fd(stream);
    let link = world.engine.dial(adopt(fd).unwrap(), None, dial);
    world.engine.close(link, message(b'X', b""));
    world.closed(link);
}

fn a_held_client_is_not_left_with_half_a_farewell(world: &mut World) {
    let (mut client, mut host, session) = world.session();
    host.set_nodelay(true).unwrap();
    let (mut fresh, link) = world.backend(1, session);
    world.engine.hold(session, 2, HoldMode::Idle);
    assert!(world.held(session, 2));
    let last = message(b'E', FATAL);
    host.write_all(&last[..9]).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    host.write_all(&last[9..]).unwrap();
    drop(host);
    std::thread::sleep(Duration::from_millis(20));
    world.engine.cut_over(session, 2, link, Vec::new());
    client.write_all(&query("x")).unwrap();
    read(&mut fresh, query("x").len());
    fresh.write_all(&complete("SELECT 1", READY)).unwrap();
    let mut got = read(&mut client, READY.len());
    if got[0] == b'E' {
        got.extend(read(&mut client, last.len() - READY.len()));
        assert_eq!(got, last);
        got = read(&mut client, READY.len());
    }
    assert_eq!(got[0], b'C');
}

fn a_client_held_for_a_cancel_gets_the_last_words_of_its_host(world: &mut World) {
    let (mut client, mut host, session) = world.session();
    client.write_all(&query("select 1")).unwrap();
    read(&mut host, query("select 1").len());
    world.engine.hold(session, 2, HoldMode::Requests);
    assert!(!world.held(session, 2));
    let last = message(b'E', FATAL);
    host.write_all(&last).unwrap();
    drop(host);
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert_eq!(got, last);
    drop(client);
    world.closed(session);
    assert!(
        !world
            .notes
            .iter()
            .any(|n| matches!(n, Note::CutOver { .. }))
    );
}

/// A host's end of a TLS connection.
struct TlsHost {
    stream: TcpStream,
    tls: Tls,
    plain: Vec<u8>,
}

impl TlsHost {
    /// Answers SSLRequest and goes through the handshake.
    fn new(mut stream: TcpStream) -> Self {
        let key = rcgen::generate_simple_self_signed(["host".to_owned()]).unwrap();
        let (certificate, key) = (key.cert.pem(), key.signing_key.serialize_pem());
        let context =
            ServerContext::build(certificate.as_bytes(), key.as_bytes(), None, false).unwrap();
        assert_eq!(read(&mut stream, 8)[..4], [0, 0, 0, 8]);
        stream.write_all(b"S").unwrap();
        let mut host = Self {
            stream,
            tls: Tls::server(&context, false).unwrap(),
            plain: Vec::new(),
        };
        while host.tls.handshaking() {
            assert!(host.receive());
        }
        host
    }

    /// One read; whether the client's end is still open.
    fn receive(&mut self) -> bool {
        let mut cipher = [0; 4096];
        let n = self.stream.read(&mut cipher).unwrap();
        let closed = n == 0
            || self
                .tls
                .receive(&cipher[..n], &mut self.plain)
                .unwrap()
                .closed;
        let mut output = Vec::new();
        self.tls.take_output(&mut output);
        self.stream.write_all(&output).unwrap();
        !closed
    }

    fn send(&mut self, data: &[u8]) {
        let mut cipher = Vec::new();
        self.tls.transmit(data, &mut cipher).unwrap();
        self.stream.write_all(&cipher).unwrap();
    }
}

fn tls_backend(world: &mut World, near: LinkId) -> (TlsHost, LinkId) {
    let stream = TcpStream::connect(world.hosts[0].local_addr().unwrap()).unwrap();
    let dial = Dial {
        tls: Some(ClientContext::build(Verify::None, None, None, None).unwrap()),
        tls_required: true,
        direct_tls: false,
        server_name: "host".to_owned(),
        hello: b"hello".to_vec(),
    };
    let fd = std::os::fd::IntoRawFd::into_raw_fd(stream);
    let link = world.engine.dial(adopt(fd).unwrap(), Some(near), dial);
    let mut host = TlsHost::new(world.hosts[0].accept().unwrap().0);
    while host.plain.len() < 5 {
        assert!(host.receive());
    }
    assert_eq!(std::mem::take(&mut host.plain), b"hello");
    (host, link)
}

fn a_half_closed_client_gets_its_answers_from_a_host_with_tls(world: &mut World) {
    let (mut client, session) = world.client();
    let (mut host, link) = tls_backend(world, session);
    world.engine.pair(session, link, 1, READY.to_vec());
    assert_eq!(read(&mut client, READY.len()), READY);
    client.write_all(&query("select 1")).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    while host.receive() {}
    assert_eq!(host.plain, query("select 1"));
    std::thread::sleep(Duration::from_millis(50));
    host.send(&complete("SELECT 1", READY));
    drop(host);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, complete("SELECT 1", READY));
    world.closed(session);
}

fn a_client_that_does_not_read_cannot_put_its_end_off(world: &mut World) {
    let (mut client, mut host, session) = world.session();
    client.write_all(&query("bulk")).unwrap();
    read(&mut host, query("bulk").len());
    fill(&mut host);
    world.engine.close(session, message(b'E', FATAL));
    world.closed(session);
    assert!(client.read(&mut [0; 1]).is_ok());
}

fn a_client_that_says_much_before_its_login_loses_nothing(world: &mut World) {
    let (mut client, session) = world.client();
    let request = message(b'Q', &[b' '; 500_000]);
    let sent = request.clone();
    let writer = std::thread::spawn(move || {
        client.write_all(&sent).unwrap();
        client
    });
    let (mut host, link) = world.backend(0, session);
    std::thread::sleep(Duration::from_millis(20));
    world.engine.pair(session, link, 1, READY.to_vec());
    assert!(read(&mut host, request.len()) == request);
    drop(writer.join().unwrap());
}

#[test]
fn a_time_limit_may_be_as_long_as_can_be_said() {
    let mut world = World::with(Settings {
        startup_seconds_max: Duration::MAX,
        ..settings(DriverChoice::Epoll)
    });
    world.client();
}

/// Rows whose every byte says where it belongs.
fn pattern(n: usize) -> Vec<u8> {
    let body: Vec<u8> = (0..100 + n * 7919 % 40_000)
        .map(|at| (at.wrapping_mul(31) ^ n) as u8)
        .collect();
    message(b'D', &body)
}

fn bulk_comes_in_order_while_connections_come_and_go(world: &mut World) {
    const ROWS: usize = 400;
    let door = world.door;
    let end = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for n in 0..6 {
        let (mut client, mut host, _) = world.session();
        client.write_all(&query("bulk")).unwrap();
        read(&mut host, query("bulk").len());
        threads.push(std::thread::spawn(move || {
            (0..ROWS).for_each(|row| host.write_all(&pattern(row)).unwrap());
            host.write_all(&complete("SELECT", READY)).unwrap();
            let _ = host.read(&mut [0; 1]);
        }));
        threads.push(std::thread::spawn(move || {
            for row in 0..ROWS {
                if row % (20 + n) == 0 {
                    std::thread::sleep(Duration::from_millis(3));
                }
                let expected = pattern(row);
                assert!(read(&mut client, expected.len()) == expected, "row {row}");
            }
            read(&mut client, complete("SELECT", READY).len());
        }));
    }
    let churn = {
        let end = Arc::clone(&end);
        std::thread::spawn(move || {
            while !end.load(Relaxed) {
                drop(TcpStream::connect(door));
            }
        })
    };
    while !threads.iter().all(std::thread::JoinHandle::is_finished) {
        world.engine.drain(1000); // a full ring would stop the workers
        std::thread::sleep(Duration::from_millis(1));
    }
    let failed = threads.into_iter().filter_map(|t| t.join().err()).count();
    end.store(true, Relaxed);
    churn.join().unwrap();
    assert_eq!(failed, 0);
}
