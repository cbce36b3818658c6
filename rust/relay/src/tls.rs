//! TLS for both sides of a session, without any I/O: cipher bytes in, plain bytes out, and back.
//!
//! It never touches a socket and keeps no buffer while nothing is under way: rustls's unbuffered
//! connections work on the caller's bytes, so an idle link holds keys and no more. Errors are
//! short texts for logs and clients; they hold names of things, never keys or data.

mod certificate;
mod context;
mod names;
mod records;
mod verify;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{IpAddr, Ipv4Addr, ServerName};
use rustls::server::UnbufferedServerConnection;

use certificate::Certificate;
pub use context::{ClientContext, ServerContext, end_point_hash};
use names::{cipher_name, version_name};
pub use verify::Verify;

/// The ALPN protocol name that PostgreSQL registered.
const ALPN: &[u8] = b"postgresql";
/// Scratch space kept by a thread between calls; larger input is worked on in a buffer of its own.
const SCRATCH_BYTES_MAX: usize = 512 * 1024;

thread_local! {
    /// Where received bytes are decrypted in place: one per worker, not one per link.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The server name of the handshake that this thread is at; see `context::Certified`.
    static SERVER_NAME: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Why a handshake or a record was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError(String);

impl TlsError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        use rustls::{CertificateError as C, Error as E};
        Self(match error {
            E::InvalidCertificate(why) => {
                let why = match why {
                    C::UnknownIssuer => "unknown issuer",
                    C::Expired | C::ExpiredContext { .. } => "certificate has expired",
                    C::NotValidYet | C::NotValidYetContext { .. } => "certificate is not yet valid",
                    C::Revoked => "certificate is revoked",
                    C::NotValidForName | C::NotValidForNameContext { .. } => {
                        "certificate is not for this host name"
                    }
                    C::BadSignature => "bad signature",
                    C::BadEncoding => "bad encoding",
                    C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
                        "certificate is not for this purpose"
                    }
                    other => return Self(format!("certificate verify failed: {other:?}")),
                };
                format!("certificate verify failed: {why}")
            }
            E::AlertReceived(alert) => format!("the peer sent a TLS alert: {alert:?}"),
            E::NoCertificatesPresented => "the client sent no certificate".to_owned(),
            E::DecryptError => "a TLS record could not be decrypted".to_owned(),
            E::NoApplicationProtocol => "no common application protocol".to_owned(),
            E::InvalidMessage(_) => "not a valid TLS message".to_owned(),
            other => other.to_string(),
        })
    }
}

/// What came of the bytes given to `Tls::receive`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The peer has said that it will send nothing more (`close_notify`). Only an end of the
    /// stream after it is a proper one; without it the connection was cut.
    pub closed: bool,
}

/// Facts of an established connection, as `pg_stat_ssl` has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsInfo {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// OpenSSL's name of the cipher.
    pub cipher: &'static str,
    /// The application protocol that was agreed on: `postgresql`, if any.
    pub alpn: Option<String>,
    /// The name that the client asked for (SNI); only on the server's side.
    pub server_name: Option<String>,
    /// The peer's own certificate in DER. On the server's side it has been verified.
    pub peer_certificate: Option<Vec<u8>>,
    /// The whole subject of that certificate, as RFC 2253 writes it.
    pub peer_subject: Option<String>,
    /// The common name in it.
    pub peer_common_name: Option<String>,
}

enum Connection {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

/// One connection's TLS.
pub struct Tls {
    connection: Connection,
    /// Received bytes that do not make a whole record (or handshake message) yet.
    pending: Vec<u8>,
    /// Handshake records and alerts that wait to be sent.
    output: Vec<u8>,
    server_name: Option<Box<str>>,
    /// There was no SSLRequest, so ALPN is what tells PostgreSQL from other protocols.
    direct: bool,
    handshaking: bool,
    closed: bool,
    /// An error has ended it. rustls must not be asked again: it still counts positions in bytes
    /// that are gone.
    failed: bool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("handshaking", &self.handshaking)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// The server's side of a connection. `direct`: the client began with TLS, without an
    /// SSLRequest, and must therefore negotiate ALPN.
    pub fn server(context: &ServerContext, direct: bool) -> Result<Self, TlsError> {
        let connection = UnbufferedServerConnection::new(Arc::clone(&context.0))?;
        Ok(Self::new(Connection::Server(Box::new(connection)), direct))
    }

    /// The client's side; its first bytes wait in `take_output`.
    pub fn client(
        context: &ClientContext,
        server_name: &str,
        direct: bool,
    ) -> Result<Self, TlsError> {
        let name = match ServerName::try_from(server_name.to_owned()) {
            Ok(name) => name,
            Err(_) if context.verify == Verify::Full => {
                return Err(TlsError::new("not a host name or address"));
            }
            // Not used for checking, and an address is never sent as SNI.
            Err(_) => ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0, 0, 0, 0]))),
        };
        let connection = UnbufferedClientConnection::new(Arc::clone(&context.config), name)?;
        let mut tls = Self::new(Connection::Client(Box::new(connection)), direct);
        tls.receive(&[], &mut Vec::new())?;
        Ok(tls)
    }

    fn new(connection: Connection, direct: bool) -> Self {
        Self {
            connection,
            pending: Vec::new(),
            output: Vec::new(),
            server_name: None,
            direct,
            handshaking: true,
            closed: false,
            failed: false,
        }
    }

    /// Whether data has to wait still.
    pub fn handshaking(&self) -> bool {
        self.handshaking
    }

    /// Whether `take_output` has something to send.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// What the handshake settled; complete once `handshaking` is false.
    pub fn info(&self) -> TlsInfo {
        let common = self.common();
        let peer = common.peer_certificates().and_then(<[_]>::first);
        let parsed = peer.and_then(|der| Certificate::parse(der));
        TlsInfo {
            version: version_name(common.protocol_version()),
            cipher: common
                .negotiated_cipher_suite()
                .map_or("unknown", |suite| cipher_name(suite.suite())),
            alpn: common
                .alpn_protocol()
                .map(|name| String::from_utf8_lossy(name).into_owned()),
            server_name: self.server_name.as_deref().map(str::to_owned),
            peer_certificate: peer.map(|der| der.to_vec()),
            peer_subject: parsed.as_ref().and_then(Certificate::subject),
            peer_common_name: parsed.as_ref().and_then(Certificate::common_name),
        }
    }

    /// Takes all of `cipher` in and appends what it decrypts to, to `plain`.
    ///
    /// Afterwards there may be something to send (`take_output`): also when it fails, as the peer
    /// is to be told with an alert.
    pub fn receive(&mut self, cipher: &[u8], plain: &mut Vec<u8>) -> Result<Received, TlsError> {
        self.check_usable()?;
        let result = self.advance(cipher, plain);
        self.failed = result.is_err();
        result
    }

    fn check_usable(&self) -> Result<(), TlsError> {
        if self.failed {
            return Err(TlsError::new("the TLS connection has failed before"));
        }
        Ok(())
    }

    fn advance(&mut self, cipher: &[u8], plain: &mut Vec<u8>) -> Result<Received, TlsError> {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.extend_from_slice(&self.pending);
            scratch.extend_from_slice(cipher);
            let done = self.process(scratch, plain);
            // What is left starts where the next call continues. An idle link keeps no buffer.
            let left = scratch.get(*done.as_ref().unwrap_or(&0)..).unwrap_or(&[]);
            self.pending.clear();
            if done.is_ok() && !left.is_empty() {
                self.pending.extend_from_slice(left);
            } else {
                self.pending = Vec::new();
            }
            if scratch.capacity() > SCRATCH_BYTES_MAX {
                *scratch = Vec::new();
            }
            done.map(|_| ())
        })?;
        self.finish_handshake()?;
        Ok(Received {
            closed: self.closed,
        })
    }

    /// Encrypts all of `plain` and appends it to `cipher`, after whatever else has to be sent.
    pub fn transmit(&mut self, plain: &[u8], cipher: &mut Vec<u8>) -> Result<(), TlsError> {
        self.check_usable()?;
        self.take_output(cipher);
        let result = match &mut self.connection {
            Connection::Server(c) => records::write(c.as_mut(), &mut self.pending, plain, cipher),
            Connection::Client(c) => records::write(c.as_mut(), &mut self.pending, plain, cipher),
        };
        self.failed = result.is_err();
        result
    }

    /// Appends handshake records and alerts that have to be sent to `cipher`.
    pub fn take_output(&mut self, cipher: &mut Vec<u8>) {
        cipher.extend_from_slice(&self.output);
        self.output = Vec::new();
    }

    /// Appends the record that tells the peer of a proper end. Nothing while handshaking.
    pub fn close_notify(&mut self, cipher: &mut Vec<u8>) {
        self.take_output(cipher);
        if self.handshaking || self.failed {
            return;
        }
        // It can fail only after an error that has sent its own alert already.
        let result = match &mut self.connection {
            Connection::Server(c) => records::goodbye(c.as_mut(), &mut self.pending, cipher),
            Connection::Client(c) => records::goodbye(c.as_mut(), &mut self.pending, cipher),
        };
        self.failed = result.is_err();
    }

    fn common(&self) -> &CommonState {
        match &self.connection {
            Connection::Server(c) => c,
            Connection::Client(c) => c,
        }
    }

    /// Works through `buffer`; returns how much of its front is used up.
    fn process(&mut self, buffer: &mut [u8], plain: &mut Vec<u8>) -> Result<usize, TlsError> {
        let mut into = records::Sinks {
            plain,
            output: &mut self.output,
            closed: &mut self.closed,
        };
        match &mut self.connection {
            Connection::Server(c) => {
                SERVER_NAME.set(None);
                let result = records::read(c.as_mut(), buffer, &mut into);
                if let Some(name) = SERVER_NAME.take() {
                    self.server_name = Some(name.into_boxed_str());
                }
                result
            }
            Connection::Client(c) => records::read(c.as_mut(), buffer, &mut into),
        }
    }

    fn finish_handshake(&mut self) -> Result<(), TlsError> {
        if self.handshaking && !self.common().is_handshaking() {
            self.handshaking = false;
            if self.direct && self.common().alpn_protocol() != Some(ALPN) {
                return Err(TlsError::new(
                    "direct TLS connection without ALPN protocol negotiation",
                ));
            }
        }
        Ok(())
    }
}
