//! Startup packets: what is read takes the bytes it says, and a beginning is never more than that.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pywire_wire::Startup;
use pywire_wire::startup::{parameters, parse};

fuzz_target!(|data: &[u8]| {
    let Ok(startup) = parse(data) else { return };
    let bytes = startup.bytes();
    if startup == Startup::Incomplete {
        return;
    }
    assert_eq!(parse(&data[..bytes]), Ok(startup));
    assert_eq!(parse(&data[..bytes - 1]), Ok(Startup::Incomplete));
    if let Startup::Start {
        parameters: body, ..
    } = startup
        && let Ok(pairs) = parameters(body)
    {
        let length: usize = pairs
            .iter()
            .map(|(name, value)| name.len() + value.len() + 2)
            .sum();
        assert_eq!(length + 1, body.len());
    }
});
