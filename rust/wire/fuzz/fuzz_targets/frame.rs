//! Framing: whole messages are found, and nothing is read past the end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pywire_wire::Side;
use pywire_wire::frame::{message, whole_messages};

const MESSAGE_BYTES_MAX: u32 = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let Ok(whole) = whole_messages(data, Side::Frontend, MESSAGE_BYTES_MAX) else {
        return;
    };
    let mut at = 0;
    while let Ok(Some(message)) = message(&data[at..], Side::Frontend, MESSAGE_BYTES_MAX) {
        assert_eq!(message.frame.len(), message.body.len() + 5);
        at += message.frame.len();
    }
    assert_eq!(at, whole);
});
