//! The first, untyped messages of a connection: who wants what, before there are tags.
//!
//! Never answers: what to do with a request for encryption or an unknown protocol version is the
//! caller's business.

use crate::error::{Side, Violation, WireError};

/// The longest startup packet PostgreSQL accepts, its length word not counted.
pub const STARTUP_BYTES_MAX: usize = 10_000;
/// The longest cancel key protocol 3.2 allows.
pub const CANCEL_KEY_BYTES_MAX: usize = 256;
/// Protocol version 3.0.
pub const PROTOCOL_3_0: u32 = 3 << 16;
/// Protocol version 3.2, of PostgreSQL 18: long cancel keys.
pub const PROTOCOL_3_2: u32 = (3 << 16) | 2;

const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;
const SSL_REQUEST: u32 = (1234 << 16) | 5679;
const GSS_ENC_REQUEST: u32 = (1234 << 16) | 5680;

/// What a startup packet asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Startup<'a> {
    /// Not all there yet.
    Incomplete,
    /// Is TLS possible?
    SslRequest,
    /// Is GSSAPI encryption possible?
    GssEncRequest,
    /// Cancel what another connection is doing.
    Cancel {
        /// The process ID from BackendKeyData.
        process_id: u32,
        /// The key from BackendKeyData: 4 bytes, or up to 256 with protocol 3.2.
        key: &'a [u8],
    },
    /// Begin a session.
    Start {
        /// The version asked for: [`PROTOCOL_3_0`], [`PROTOCOL_3_2`], or one to negotiate or refuse.
        protocol: u32,
        /// Names and values, each ended by a zero byte, and one more zero byte at the end.
        parameters: &'a [u8],
    },
}

impl Startup<'_> {
    /// Bytes the packet takes on the wire; 0 if it is incomplete.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        match self {
            Self::Incomplete => 0,
            Self::SslRequest | Self::GssEncRequest => 8,
            Self::Cancel { key, .. } => 12 + key.len(),
            Self::Start { parameters, .. } => 8 + parameters.len(),
        }
    }
}

/// Reads the startup packet at the beginning of `data`.
///
/// # Errors
/// If PostgreSQL would drop the connection for the packet's length or for the key of a CancelRequest.
pub fn parse(data: &[u8]) -> Result<Startup<'_>, WireError> {
    let Some((length, _)) = data.split_first_chunk::<4>() else {
        return Ok(Startup::Incomplete);
    };
    let length = u32::from_be_bytes(*length) as usize;
    if !(8..=STARTUP_BYTES_MAX + 4).contains(&length) {
        return Err(violation(Violation::StartupLength));
    }
    let Some(body) = data.get(4..length) else {
        return Ok(Startup::Incomplete);
    };
    let Some((code, rest)) = body.split_first_chunk::<4>() else {
        return Ok(Startup::Incomplete);
    };
    match u32::from_be_bytes(*code) {
        SSL_REQUEST if rest.is_empty() => Ok(Startup::SslRequest),
        GSS_ENC_REQUEST if rest.is_empty() => Ok(Startup::GssEncRequest),
        SSL_REQUEST | GSS_ENC_REQUEST => Err(violation(Violation::StartupLength)),
        CANCEL_REQUEST => match rest.split_first_chunk::<4>() {
            Some((process_id, key)) if (1..=CANCEL_KEY_BYTES_MAX).contains(&key.len()) => {
                Ok(Startup::Cancel {
                    process_id: u32::from_be_bytes(*process_id),
                    key,
                })
            }
            _ => Err(violation(Violation::CancelKey)),
        },
        protocol => Ok(Startup::Start {
            protocol,
            parameters: rest,
        }),
    }
}

/// A name and a value.
pub type Parameter<'a> = (&'a [u8], &'a [u8]);

/// The names and values in the body of a StartupMessage, checked as PostgreSQL checks them.
///
/// # Errors
/// If a string is not ended, a name has no value, or the last byte is not the terminator.
pub fn parameters(body: &[u8]) -> Result<Vec<Parameter<'_>>, WireError> {
    let malformed = || violation(Violation::StartupParameters);
    let mut rest = body;
    let mut pairs = Vec::new();
    loop {
        let (name, after) = string(rest).ok_or_else(malformed)?;
        if name.is_empty() {
            return if after.is_empty() {
                Ok(pairs)
            } else {
                Err(malformed())
            };
        }
        let (value, after) = string(after).ok_or_else(malformed)?;
        pairs.push((name, value));
        rest = after;
    }
}

fn string(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = data.iter().position(|byte| *byte == 0)?;
    Some((&data[..end], &data[end + 1..]))
}

const fn violation(violation: Violation) -> WireError {
    WireError {
        violation,
        side: Side::Frontend,
        tag: 0,
        offset: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(code: u32, rest: &[u8]) -> Vec<u8> {
        let mut data = (8 + rest.len() as u32).to_be_bytes().to_vec();
        data.extend(code.to_be_bytes());
        data.extend(rest);
        data
    }

    #[test]
    fn each_kind_is_recognised_and_measured() {
        let body = b"user\0me\0database\0db\0\0";
        for (data, expected) in [
            (packet(SSL_REQUEST, b""), Startup::SslRequest),
            (packet(GSS_ENC_REQUEST, b""), Startup::GssEncRequest),
            (
                packet(CANCEL_REQUEST, b"\0\0\0\x07abcd"),
                Startup::Cancel {
                    process_id: 7,
                    key: b"abcd",
                },
            ),
            (
                packet(CANCEL_REQUEST, &[1; 260]),
                Startup::Cancel {
                    process_id: 0x0101_0101,
                    key: &[1; 256],
                },
            ),
            (
                packet(PROTOCOL_3_0, body),
                Startup::Start {
                    protocol: 196_608,
                    parameters: body,
                },
            ),
            (
                packet(PROTOCOL_3_2, body),
                Startup::Start {
                    protocol: 196_610,
                    parameters: body,
                },
            ),
            (
                packet(0x0003_270f, b"\0"),
                Startup::Start {
                    protocol: 0x0003_270f,
                    parameters: b"\0",
                },
            ),
        ] {
            for end in 0..data.len() {
                assert_eq!(parse(&data[..end]), Ok(Startup::Incomplete));
            }
            let mut more = data.clone();
            more.extend(b"more");
            let startup = parse(&more).unwrap();
            assert_eq!(startup, expected);
            assert_eq!(startup.bytes(), data.len());
        }
    }

    #[test]
    fn wrong_lengths_are_refused_at_once() {
        for length in [0_u32, 7, 10_005, u32::MAX] {
            assert_eq!(
                parse(&length.to_be_bytes()).unwrap_err().violation,
                Violation::StartupLength
            );
        }
        assert_eq!(parse(&10_004_u32.to_be_bytes()), Ok(Startup::Incomplete));
        for rest in [&b""[..], b"\0\0\0\x01", &[0; 261]] {
            let data = packet(CANCEL_REQUEST, rest);
            assert_eq!(parse(&data).unwrap_err().violation, Violation::CancelKey);
        }
        assert!(parse(&packet(SSL_REQUEST, b"x")).is_err());
    }

    #[test]
    fn parameters_are_pairs() {
        assert_eq!(parameters(b"\0"), Ok(vec![]));
        assert_eq!(
            parameters(b"user\0me\0options\0\0\0"),
            Ok(vec![(&b"user"[..], &b"me"[..]), (b"options", b"")])
        );
        for body in [
            &b""[..],
            b"user",
            b"user\0",
            b"user\0me",
            b"user\0me\0",
            b"\0x",
        ] {
            assert!(parameters(body).is_err(), "{body:?}");
        }
    }
}
