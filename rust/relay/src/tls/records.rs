//! Driving rustls's unbuffered connections: one function each for reading, writing and farewell.
//!
//! It never keeps bytes between calls; what is left over belongs to the caller.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus, WriteTraffic,
};

use super::TlsError;

/// What a record of at most `RECORD_PLAIN_MAX` may grow by (header, nonce, tag, type).
const RECORD_OVERHEAD: usize = 64;
const RECORD_PLAIN_MAX: usize = 16_384;

/// The one method that both sides' connections share, but that rustls has no trait for.
pub(super) trait Process {
    type Data;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn has_records_to_send(&self) -> bool;
}

impl Process for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn has_records_to_send(&self) -> bool {
        self.wants_write()
    }
}

impl Process for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn has_records_to_send(&self) -> bool {
        self.wants_write()
    }
}

/// Where the results of one `read` go.
pub(super) struct Sinks<'a> {
    pub(super) plain: &'a mut Vec<u8>,
    pub(super) output: &'a mut Vec<u8>,
    pub(super) closed: &'a mut bool,
}

/// Works through `buffer` as far as its records are whole; returns how much of it is used up.
pub(super) fn read<P: Process>(
    connection: &mut P,
    buffer: &mut [u8],
    into: &mut Sinks<'_>,
) -> Result<usize, TlsError> {
    let mut used = 0;
    loop {
        let UnbufferedStatus { discard, state } = connection.process(&mut buffer[used..]);
        let mut more = true;
        let mut extra = 0;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    into.plain.extend_from_slice(record.payload);
                    extra += record.discard;
                }
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, into.output)?,
            // Whoever calls sends `output` in order, so it counts as sent.
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => *into.closed = true,
            Ok(_) => more = false,
            Err(error) => {
                alert(connection, &mut buffer[used + discard..], into.output);
                return Err(error.into());
            }
        }
        used += discard + extra;
        if !more {
            return Ok(used);
        }
    }
}

/// Takes the alert that an error has left behind, without looking at what came after the error.
fn alert<P: Process>(connection: &mut P, rest: &mut [u8], output: &mut Vec<u8>) {
    while connection.has_records_to_send() {
        let Ok(ConnectionState::EncodeTlsData(mut data)) = connection.process(rest).state else {
            return;
        };
        if encode(&mut data, output).is_err() {
            return;
        }
    }
}

/// Encrypts `plain` behind what `cipher` holds.
pub(super) fn write<P: Process>(
    connection: &mut P,
    pending: &mut [u8],
    plain: &[u8],
    cipher: &mut Vec<u8>,
) -> Result<(), TlsError> {
    if plain.is_empty() {
        return Ok(());
    }
    when_writable(connection, pending, cipher, |traffic, cipher| {
        let records = plain.len().div_ceil(RECORD_PLAIN_MAX);
        let room = plain.len() + (records + 1) * RECORD_OVERHEAD;
        fill(cipher, room, |buffer| traffic.encrypt(plain, buffer))
    })
}

/// Appends `close_notify`.
pub(super) fn goodbye<P: Process>(
    connection: &mut P,
    pending: &mut [u8],
    cipher: &mut Vec<u8>,
) -> Result<(), TlsError> {
    when_writable(connection, pending, cipher, |traffic, cipher| {
        fill(cipher, 2 * RECORD_OVERHEAD, |buffer| {
            traffic.queue_close_notify(buffer)
        })
    })
}

/// Runs `act` once the connection may send data; sends what comes before it first.
///
/// `pending` is shown to rustls although nothing in it can be whole: it counts positions in it.
fn when_writable<P: Process>(
    connection: &mut P,
    pending: &mut [u8],
    cipher: &mut Vec<u8>,
    act: impl FnOnce(&mut WriteTraffic<'_, P::Data>, &mut Vec<u8>) -> Result<(), TlsError>,
) -> Result<(), TlsError> {
    loop {
        match connection.process(pending).state? {
            ConnectionState::EncodeTlsData(mut data) => encode(&mut data, cipher)?,
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed => {}
            ConnectionState::WriteTraffic(mut traffic) => return act(&mut traffic, cipher),
            ConnectionState::Closed => return Err(TlsError::new("the TLS connection is closed")),
            _ => return Err(TlsError::new("the TLS handshake is not complete")),
        }
    }
}

fn encode<D>(data: &mut EncodeTlsData<'_, D>, output: &mut Vec<u8>) -> Result<(), TlsError> {
    fill(output, 0, |buffer| data.encode(buffer))
}

/// Appends to `output` what `produce` writes into a buffer of at least `room` bytes.
fn fill<E: Shortage>(
    output: &mut Vec<u8>,
    room: usize,
    mut produce: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), TlsError> {
    let start = output.len();
    output.resize(start + room, 0);
    let mut result = produce(&mut output[start..]);
    if let Some(required) = result.as_ref().err().and_then(Shortage::required) {
        output.resize(start + required, 0);
        result = produce(&mut output[start..]);
    }
    match result {
        Ok(written) => {
            output.truncate(start + written);
            Ok(())
        }
        Err(_) => {
            output.truncate(start);
            Err(TlsError::new("no more TLS records can be sent"))
        }
    }
}

/// Errors of rustls that say how large a buffer would have to be.
trait Shortage {
    fn required(&self) -> Option<usize>;
}

impl Shortage for EncodeError {
    fn required(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::AlreadyEncoded => None,
        }
    }
}

impl Shortage for EncryptError {
    fn required(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::EncryptExhausted => None,
        }
    }
}
