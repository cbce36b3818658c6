//! The tracker: two chunkings of the same bytes end the same, and nothing ever panics.
//!
//! The input is a list of turns: a byte for side, chunking and length, then the bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pywire_wire::{Note, Tracker, TrackerConfig, TransactionStatus, WireError};

struct Rig {
    tracker: Tracker,
    rest: [Vec<u8>; 2],
    notes: Vec<String>,
}

impl Rig {
    fn new(config: &TrackerConfig) -> Self {
        let tracker = Tracker::new(config, TransactionStatus::Idle);
        Self {
            tracker,
            rest: Default::default(),
            notes: vec![],
        }
    }

    fn feed(&mut self, side: usize, data: &[u8]) -> Result<(), WireError> {
        let notes = &mut self.notes;
        let mut sink = |note: Note<'_>| notes.push(format!("{note:?}"));
        let rest = &mut self.rest[side];
        rest.extend(data);
        loop {
            let bytes = match side {
                0 => self.tracker.frontend(rest, false, &mut sink)?,
                _ => self.tracker.backend(rest, &mut sink)?.bytes,
            };
            rest.drain(..bytes);
            if bytes == 0 {
                assert!(rest.len() < 5);
                return Ok(());
            }
        }
    }

    fn picture(&self) -> String {
        let tracker = &self.tracker;
        format!(
            "{} {:?} {} {} {} {:?}",
            tracker.quiescent(),
            tracker.status(),
            tracker.flags(),
            tracker.requests(),
            tracker.outstanding(),
            tracker.statements(),
        )
    }
}

fuzz_target!(|data: &[u8]| {
    let config = TrackerConfig {
        message_bytes_max: 1 << 20,
        statements_bytes_max: 256,
        protection: true,
        journal_bytes_max: 512,
        ..TrackerConfig::default()
    };
    let (mut whole, mut pieces) = (Rig::new(&config), Rig::new(&config));
    let mut rest = data;
    while let Some((turn, after)) = rest.split_first() {
        let length = (usize::from(turn >> 3) + 1).min(after.len());
        let (piece, after) = after.split_at(length);
        rest = after;
        let side = usize::from(turn & 1);
        let first = whole.feed(side, piece);
        let second = piece
            .chunks(usize::from(turn >> 1 & 3) + 1)
            .try_for_each(|part| pieces.feed(side, part));
        assert_eq!(first, second);
        if first.is_err() {
            return;
        }
        // An injection changes nothing unless it is accepted.
        if turn & 7 == 7 {
            let mut silent = |_: Note<'_>| {};
            let inject = |rig: &mut Rig, sink: &mut dyn FnMut(Note<'_>)| {
                rig.rest[0].is_empty()
                    && rig
                        .tracker
                        .inject(piece, &mut |note: Note<'_>| sink(note))
                        .is_ok()
            };
            let one = inject(&mut whole, &mut silent);
            assert_eq!(one, inject(&mut pieces, &mut silent));
        }
        assert_eq!(whole.picture(), pieces.picture());
    }
    assert_eq!(whole.notes, pieces.notes);
});
