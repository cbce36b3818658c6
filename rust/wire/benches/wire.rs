//! What tracking costs per transaction, in nanoseconds: `cargo bench -p pywire-wire`.

use std::hint::black_box;
use std::time::Instant;

use pywire_wire::{Note, Tracker, TrackerConfig, TransactionStatus, scan};

const ROUNDS: u32 = 20_000;

fn measure(name: &str, mut step: impl FnMut(u32)) {
    let best = (0..50)
        .map(|_| {
            let start = Instant::now();
            (0..ROUNDS).for_each(&mut step);
            start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
        })
        .fold(f64::MAX, f64::min);
    println!("{name:<44} {best:8.1} ns");
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut data = vec![tag];
    data.extend((body.len() as u32 + 4).to_be_bytes());
    data.extend(body);
    data
}

/// Texts of pgbench with different numbers, so that branches are not learnt by heart.
fn texts() -> Vec<Vec<u8>> {
    let number = |seed: u32| seed.wrapping_mul(2_654_435_761) % 100_000;
    (0..1024)
        .map(|at| {
            let (a, b) = (number(at), number(at + 7));
            match at % 4 {
                0 => format!("UPDATE pgbench_accounts SET abalance = abalance + {a} WHERE aid = {b};"),
                1 => format!("SELECT abalance FROM pgbench_accounts WHERE aid = {a};"),
                2 => format!("INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ({a}, {b}, {a}, {b}, CURRENT_TIMESTAMP);"),
                _ => format!("UPDATE pgbench_tellers SET tbalance = tbalance + {a} WHERE tid = {b};"),
            }
            .into_bytes()
        })
        .collect()
}

fn tracker(name: &str, requests: &[Vec<u8>], reply: &[u8], protection: bool) {
    let config = TrackerConfig {
        protection,
        ..TrackerConfig::default()
    };
    let mut tracker = Tracker::new(&config, TransactionStatus::Idle);
    let mut sink = |_: Note<'_>| {};
    measure(name, |round| {
        let request = &requests[round as usize % requests.len()];
        tracker
            .frontend(black_box(request), false, &mut sink)
            .unwrap();
        tracker.backend(black_box(reply), &mut sink).unwrap();
    });
    assert!(tracker.quiescent());
}

fn main() {
    let texts = texts();
    let bytes: usize = texts.iter().map(Vec::len).sum();
    println!(
        "statement texts have {} bytes on average",
        bytes / texts.len()
    );
    measure("scan of a pgbench statement", |round| {
        black_box(scan(&texts[round as usize % texts.len()]));
    });
    let long = vec![b'x'; 1 << 20];
    let start = Instant::now();
    black_box(scan(&long));
    println!(
        "{:<44} {:8.1} us",
        "scan of a word of 1 MiB",
        start.elapsed().as_nanos() as f64 / 1e3
    );

    let row = message(b'D', b"\0\x01\0\0\0\x041234");
    let result = [
        message(b'T', &[0; 30]),
        row.clone(),
        message(b'C', b"SELECT 1\0"),
    ]
    .concat();
    let ready = message(b'Z', b"I");
    let simple: Vec<_> = texts
        .iter()
        .map(|text| message(b'Q', &[text, &b"\0"[..]].concat()))
        .collect();
    let reply = [result.clone(), ready.clone()].concat();
    tracker("simple query, 4 replies", &simple, &reply, false);
    tracker("simple query, 4 replies, protected", &simple, &reply, true);

    let behind = [
        message(b'B', &[0; 30]),
        message(b'D', b"P\0"),
        message(b'E', &[0; 5]),
        message(b'S', b""),
    ]
    .concat();
    let extended: Vec<_> = texts
        .iter()
        .map(|text| {
            [
                message(b'P', &[&b"\0"[..], text, b"\0\0\0"].concat()),
                behind.clone(),
            ]
            .concat()
        })
        .collect();
    let reply = [
        message(b'1', b""),
        message(b'2', b""),
        result.clone(),
        ready.clone(),
    ]
    .concat();
    tracker(
        "extended query, 5 requests, 6 replies",
        &extended,
        &reply,
        false,
    );
    let reply = [message(b'2', b""), result, ready.clone()].concat();
    tracker("prepared, 4 requests, 5 replies", &[behind], &reply, false);

    let rows = [row.repeat(1000), message(b'C', b"SELECT 1000\0"), ready].concat();
    tracker("simple query, 1000 rows of 15 bytes", &simple, &rows, false);
    tracker(
        "simple query, 1000 rows of 15 bytes, protected",
        &simple,
        &rows,
        true,
    );
}
