//! The engine on real sockets: both drivers.

#[macro_use]
mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{IN_BLOCK, PATIENCE, READY, World, complete, message, query, read, silent};
use pywire_relay::{HoldMode, LinkId, Note};

on_both_drivers!(
    bytes_pass_verbatim_in_both_directions,
    a_message_may_come_byte_by_byte,
    a_request_sent_before_the_login_is_over_reaches_the_host,
    a_held_client_waits_whole_and_goes_on,
    a_hold_waits_for_the_end_of_the_transaction,
    a_hold_lets_a_copy_end,
    a_session_is_cut_over_to_another_host,
    replies_to_injected_requests_are_not_shown_to_the_client,
    stale_and_misplaced_commands_are_refused,
    a_half_closed_client_gets_its_answers,
    a_client_gets_the_last_words_of_its_host,
    bulk_passes_with_a_slow_reader,
    silent_clients_do_not_keep_others_out,
    everything_is_closed_at_the_end,
);

fn bytes_pass_verbatim_in_both_directions(world: &mut World) {
    let (mut client, mut host, session) = world.session();
    for n in 0..100 {
        let request = query(&format!("select {n}"));
        client.write_all(&request).unwrap();
        assert_eq!(read(&mut host, request.len()), request);
        let reply = [message(b'D', &[0; 40]), complete("SELECT 1", READY)].concat();
        host.write_all(&reply).unwrap();
        assert_eq!(read(&mut client, reply.len()), reply);
    }
    let stats = world.engine.session_stats(session).unwrap();
    assert_eq!(
        (stats.requests, stats.status, stats.quiescent),
        (100, b'I', true)
    );
}

fn a_message_may_come_byte_by_byte(world: &mut World) {
    let (mut client, mut host, _) = world.session();
    client.set_nodelay(true).unwrap();
    let request = query("select 'slowly'");
    for byte in &request {
        client.write_all(&[*byte]).unwrap();
        std::thread::sleep(Duration::from_micros(300));
    }
    assert_eq!(read(&mut host, request.len()), request);
    for byte in complete("SELECT 1", READY) {
        host.write_all(&[byte]).unwrap();
    }
    assert_eq!(
        read(&mut client, complete("SELECT 1", READY).len()),
        complete("SELECT 1", READY)
    );
}

fn a_request_sent_before_the_login_is_over_reaches_the_host(world: &mut World) {
    let (mut client, session) = world.client();
    let request = query("select 'early'");
    client.write_all(&request).unwrap();
    let (mut host, link) = world.backend(0, session);
    std::thread::sleep(Duration::from_millis(20));
    world.engine.pair(session, link, 1, READY.to_vec());
    assert_eq!(read(&mut host, request.len()), request);
    host.write_all(&complete("SELECT 1", READY)).unwrap();
    let expected = [READY.to_vec(), complete("SELECT 1", READY)].concat();
    assert_eq!(read(&mut client, expected.len()), expected);
    let stats = world.engine.session_stats(session).unwrap();
    assert_eq!((stats.requests, stats.status), (1, b'I'));
}

fn a_held_client_waits_whole_and_goes_on(world: &mut World) {
    let (mut client, mut host, session) = world.session();
    world.engine.hold(session, 2, HoldMode::Idle);
    assert!(world.held(session, 2));
    let request = query("select 1");
    client.write_all(&request).unwrap();
    silent(&mut host);
    world.engine.release(session, 2);
    assert_eq!(read(&mut host, request.len()), request);
}

fn a_hold_waits_for_the_end_of_the_transaction(world: &mut World) {
    let (mut client, mut host, session) = world.session();
    client.write_all(&query("begin")).unwrap();
    read(&mut host, query("begin").len());
    world.engine.hold(session, 2, HoldMode::Idle);
    host.write_all(&complete("BEGIN", IN_BLOCK)).unwrap();
    read(&mut client, complete("BEGIN", IN_BLOCK).len());
    client.write_all(&query("commit")).unwrap();
    assert_eq!(read(&mut host, query("commit").len()), query("commit"));
    client.write_all(&query("next")).unwrap();
    silent(&mut host);
    assert!(!world.notes.iter().any(|n| matches!(n, Note::Held { .. })));
    host.write_all(&complete("COMMIT", READY)).unwrap();
    assert!(world.held(session, 2));
    silent(&mut host);
    world.engine.release(session, 2);
    assert_eq!(read(&mut host, query("next").len()), query("next"));
}

fn a_hold_lets_a_copy_end(world: &mut World) {
    let (mut client, mut host, session) = world.session();
    client.write_all(&query("copy t from stdin")).unwrap();
    read(&mut host, query("copy t from stdin").len());
    world.engine.hold(session, 2, HoldMode::Idle);
    let copy_in = message(b'G', b"\0\0\0");
    host.write_all(&copy_in).unwrap();
    read(&mut client, copy_in.len());
    let rows = [message(b'd', b"1\n"), message(b'c', b"")].concat();
    client.write_all(&rows).unwrap();
    assert_eq!(read(&mut host, rows.len()), rows);
    host.write_all(&complete("COPY 1", READY)).unwrap();
    assert!(world.held(session, 2));
}

fn a_session_is_cut_over_to_another_host(world: &mut World) {
    let (mut client, mut old, session) = world.session();
    let (mut new, link) = world.backend(1, session);
    world.engine.hold(session, 2, HoldMode::Idle);
    assert!(world.held(session, 2));
    client.write_all(&query("select 2")).unwrap();
    let hello = message(b'S', b"a\0b\0");
    world.engine.cut_over(session, 2, link, hello.clone());
    world.wait("CutOver", |n| {
        matches!(n, Note::CutOver { generation: 2, .. }).then_some(())
    });
    assert_eq!(read(&mut new, query("select 2").len()), query("select 2"));
    new.write_all(&complete("SELECT 1", READY)).unwrap();
    assert_eq!(read(&mut client, hello.len()), hello);
    assert_eq!(
        read(&mut client, complete("SELECT 1", READY).len()),
        complete("SELECT 1", READY)
    );
    assert_eq!(read(&mut old, 5), message(b'X', b""));
    assert_eq!(old.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(world.engine.session_stats(session).unwrap().backend, link);
}

fn replies_to_injected_requests_are_not_shown_to_the_client(world: &mut World) {
    let (mut client, mut host, session) = world.session();
    world.engine.hold(session, 2, HoldMode::Idle);
    assert!(world.held(session, 2));
    world.engine.inject(session, 2, query("show all"));
    assert_eq!(read(&mut host, query("show all").len()), query("show all"));
    let ours = complete("SHOW", READY);
    let async_note = message(b'A', b"\0\0\0\x01chan\0\0");
    host.write_all(&[ours.clone(), async_note.clone()].concat())
        .unwrap();
    let mut told = Vec::new();
    while told.len() < ours.len() {
        told.extend(world.wait("Messages", |n| {
            if let Note::Messages { data, .. } = n {
                Some(data.clone())
            } else {
                None
            }
        }));
    }
    assert_eq!(told, ours);
    assert_eq!(read(&mut client, async_note.len()), async_note);
    world.engine.release(session, 2);
    silent(&mut client);
}

fn stale_and_misplaced_commands_are_refused(world: &mut World) {
    let (_client, _host, session) = world.session();
    world.engine.hold(session, 1, HoldMode::Idle);
    assert_eq!(world.refused(), "the generation is stale");
    world.engine.release(session, 1);
    assert_eq!(world.refused(), "the session is not held");
    world.engine.inject(session, 1, query("x"));
    assert_eq!(world.refused(), "the session is not held and quiescent");
    world.engine.hold(session, 5, HoldMode::Idle);
    assert!(world.held(session, 5));
    world.engine.cut_over(session, 4, LinkId(77), Vec::new());
    assert_eq!(world.refused(), "the generation is stale");
    world.engine.cut_over(session, 5, LinkId(77), Vec::new());
    assert_eq!(world.refused(), "the new backend has gone");
    world.engine.hold(LinkId(99), 5, HoldMode::Idle);
    assert_eq!(world.refused(), "there is no such session");
}

fn a_half_closed_client_gets_its_answers(world: &mut World) {
    let (mut client, mut host, session) = world.session();
    client.write_all(&query("select 1")).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut got = Vec::new();
    host.read_to_end(&mut got).unwrap();
    assert_eq!(got, query("select 1"));
    host.write_all(&complete("SELECT 1", READY)).unwrap();
    drop(host);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, complete("SELECT 1", READY));
    world.closed(session);
}

fn a_client_gets_the_last_words_of_its_host(world: &mut World) {
    let (mut client, mut host, session) = world.session();
    let last = message(b'E', b"SFATAL\0VFATAL\0C57P01\0Mgone\0\0");
    host.write_all(&last).unwrap();
    drop(host);
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert_eq!(got, last);
    drop(client);
    world.closed(session);
}

fn bulk_passes_with_a_slow_reader(world: &mut World) {
    const ROWS: usize = 3000;
    let (mut client, mut host, _) = world.session();
    client.write_all(&query("select bulk")).unwrap();
    read(&mut host, query("select bulk").len());
    let row = |n: usize| message(b'D', &vec![n as u8; 5000 + n]);
    let writer = std::thread::spawn(move || {
        for n in 0..ROWS {
            host.write_all(&row(n)).unwrap();
        }
        host.write_all(&complete("SELECT", READY)).unwrap();
        host
    });
    std::thread::sleep(Duration::from_millis(200)); // let everything clog
    for n in 0..ROWS {
        let expected = row(n);
        assert!(
            read(&mut client, expected.len()) == expected,
            "row {n} differs"
        );
    }
    assert_eq!(
        read(&mut client, complete("SELECT", READY).len()),
        complete("SELECT", READY)
    );
    writer.join().unwrap();
}

fn silent_clients_do_not_keep_others_out(world: &mut World) {
    let silent: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(world.door).unwrap())
        .collect();
    let (mut client, mut host, _) = world.session();
    client.write_all(&query("x")).unwrap();
    assert_eq!(read(&mut host, query("x").len()), query("x"));
    for mut stream in silent {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(
            matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)),
            "a silent client is cut off in time"
        );
    }
}

fn everything_is_closed_at_the_end(world: &mut World) {
    let (mut client, host, session) = world.session();
    client.write_all(&message(b'X', b"")).unwrap();
    drop(client);
    drop(host);
    world.closed(session);
    let end = Instant::now() + PATIENCE;
    while world.engine.totals() != (0, 0) {
        assert!(
            Instant::now() < end,
            "left open: {:?}",
            world.engine.totals()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let (_client, _host, _) = world.session();
    world.engine.stop();
}
