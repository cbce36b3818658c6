//! `pywire._rust.relay`: the engine and its notes.

use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use pywire_relay::tls::{self, ClientContext, ServerContext, TlsError, Verify};
use pywire_relay::{Dial, DriverChoice, HoldMode, LinkId, Note, SessionStats as Stats, Settings};

/// A TLS context: what a listener offers.
#[pyclass(frozen, module = "pywire._rust.relay")]
pub(crate) struct ServerTls(ServerContext);

/// A TLS context: how hosts are spoken to.
#[pyclass(frozen, module = "pywire._rust.relay")]
pub(crate) struct ClientTls(ClientContext);

fn tls_error(error: TlsError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

#[pymethods]
impl ServerTls {
    #[new]
    #[pyo3(signature = (certificate_pem, key_pem, client_ca_pem=None, client_certificate_required=false))]
    fn new(
        certificate_pem: &[u8],
        key_pem: &[u8],
        client_ca_pem: Option<&[u8]>,
        client_certificate_required: bool,
    ) -> PyResult<Self> {
        ServerContext::build(
            certificate_pem,
            key_pem,
            client_ca_pem,
            client_certificate_required,
        )
        .map(Self)
        .map_err(tls_error)
    }
}

#[pymethods]
impl ClientTls {
    #[new]
    #[pyo3(signature = (verify, ca_pem=None, certificate_pem=None, key_pem=None))]
    fn new(
        verify: &str,
        ca_pem: Option<&[u8]>,
        certificate_pem: Option<&[u8]>,
        key_pem: Option<&[u8]>,
    ) -> PyResult<Self> {
        let verify = match verify {
            "none" => Verify::None,
            "ca" => Verify::Ca,
            "full" => Verify::Full,
            _ => return Err(PyValueError::new_err("verify must be none, ca or full")),
        };
        ClientContext::build(verify, ca_pem, certificate_pem, key_pem)
            .map(Self)
            .map_err(tls_error)
    }
}

/// The tls-server-end-point channel binding of a certificate (RFC 5929).
#[pyfunction]
fn end_point_hash(certificate_pem: &[u8]) -> PyResult<Vec<u8>> {
    tls::end_point_hash(certificate_pem).map_err(tls_error)
}

/// What TLS has agreed on for a link.
#[pyclass(frozen, get_all, module = "pywire._rust.relay")]
pub(crate) struct TlsInfo {
    version: String,
    cipher: String,
    alpn: Option<String>,
    server_name: Option<String>,
    client_common_name: Option<String>,
    client_subject: Option<String>,
}

impl TlsInfo {
    fn new(info: tls::TlsInfo) -> Self {
        Self {
            version: info.version.to_owned(),
            cipher: info.cipher.to_owned(),
            alpn: info.alpn,
            server_name: info.server_name,
            client_common_name: info.peer_common_name,
            client_subject: info.peer_subject,
        }
    }
}

/// One look at a session's counters.
#[pyclass(frozen, get_all, module = "pywire._rust.relay")]
pub(crate) struct SessionStats {
    client_bytes_in: u64,
    client_bytes_out: u64,
    requests: u64,
    backend: u64,
    status: u8,
    quiescent: bool,
    held: bool,
}

impl From<Stats> for SessionStats {
    fn from(s: Stats) -> Self {
        Self {
            client_bytes_in: s.client_bytes_in,
            client_bytes_out: s.client_bytes_out,
            requests: s.requests,
            backend: s.backend.0,
            status: s.status,
            quiescent: s.quiescent,
            held: s.held,
        }
    }
}

/// A note class: frozen, all fields readable.
macro_rules! note_class {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[pyclass(frozen, get_all, module = "pywire._rust.relay")]
        pub(crate) struct $name { $($field: $type),* }

        #[pymethods]
        impl $name {
            #[classattr]
            fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
                PyTuple::new(py, [$(stringify!($field)),*])
            }
        }
    };
}

note_class!(
    /// A client has sent its startup packet.
    Opened {
        link: u64, listener: u64, peer: String, protocol: u32, startup: Py<PyBytes>, tls: Option<Py<TlsInfo>>,
    }
);
note_class!(
    /// A client asks that somebody's statement be cancelled.
    CancelRequested { link: u64, process_id: u32, key: Py<PyBytes>, peer: String }
);
note_class!(
    /// A backend link is up, and its hello has been sent.
    Connected { link: u64, tls: Option<Py<TlsInfo>> }
);
note_class!(
    /// Whole messages of a link, verbatim.
    Messages { link: u64, data: Py<PyBytes> }
);
note_class!(
    /// The client's next request waits at a boundary.
    Held {
        session: u64, generation: u64, status: u8, quiescent: bool, requests: u64, flags: u32,
        statements: Py<PyList>, unnamed: Option<Py<PyBytes>>,
    }
);
note_class!(
    /// The session lives on its new backend.
    CutOver { session: u64, generation: u64 }
);
note_class!(
    /// A command came too late, or in the wrong state.
    Refused { session: u64, generation: u64, command: &'static str, reason: &'static str }
);
note_class!(
    /// The host has reported a parameter.
    ParameterChanged { session: u64, name: Py<PyBytes>, value: Py<PyBytes> }
);
note_class!(
    /// Statements have first shown words that may carry session state.
    Flagged { session: u64, flags: u32 }
);
note_class!(
    /// The link is gone.
    Closed { link: u64, reason: String }
);

fn bytes(py: Python<'_>, data: &[u8]) -> Py<PyBytes> {
    PyBytes::new(py, data).unbind()
}

fn tls_info(py: Python<'_>, info: Option<Box<tls::TlsInfo>>) -> PyResult<Option<Py<TlsInfo>>> {
    info.map(|info| Py::new(py, TlsInfo::new(*info)))
        .transpose()
}

fn to_python(py: Python<'_>, note: Note) -> PyResult<Py<PyAny>> {
    Ok(match note {
        Note::Opened {
            link,
            listener,
            peer,
            protocol,
            startup,
            tls,
        } => {
            let (startup, tls) = (bytes(py, &startup), tls_info(py, tls)?);
            Py::new(
                py,
                Opened {
                    link: link.0,
                    listener,
                    peer,
                    protocol,
                    startup,
                    tls,
                },
            )?
            .into_any()
        }
        Note::CancelRequested {
            link,
            process_id,
            key,
            peer,
        } => Py::new(
            py,
            CancelRequested {
                link: link.0,
                process_id,
                key: bytes(py, &key),
                peer,
            },
        )?
        .into_any(),
        Note::Connected { link, tls } => {
            let tls = tls_info(py, tls)?;
            Py::new(py, Connected { link: link.0, tls })?.into_any()
        }
        Note::Messages { link, data } => Py::new(
            py,
            Messages {
                link: link.0,
                data: bytes(py, &data),
            },
        )?
        .into_any(),
        Note::Held {
            session,
            generation,
            status,
            quiescent,
            requests,
            flags,
            statements,
            unnamed,
        } => {
            let statements =
                PyList::new(py, statements.iter().map(|frame| PyBytes::new(py, frame)))?.unbind();
            let unnamed = unnamed.map(|frame| bytes(py, &frame));
            let session = session.0;
            Py::new(
                py,
                Held {
                    session,
                    generation,
                    status,
                    quiescent,
                    requests,
                    flags,
                    statements,
                    unnamed,
                },
            )?
            .into_any()
        }
        Note::CutOver {
            session,
            generation,
        } => Py::new(
            py,
            CutOver {
                session: session.0,
                generation,
            },
        )?
        .into_any(),
        Note::Refused {
            session,
            generation,
            command,
            reason,
        } => Py::new(
            py,
            Refused {
                session: session.0,
                generation,
                command,
                reason,
            },
        )?
        .into_any(),
        Note::ParameterChanged {
            session,
            name,
            value,
        } => {
            let (name, value) = (bytes(py, &name), bytes(py, &value));
            Py::new(
                py,
                ParameterChanged {
                    session: session.0,
                    name,
                    value,
                },
            )?
            .into_any()
        }
        Note::Flagged { session, flags } => Py::new(
            py,
            Flagged {
                session: session.0,
                flags,
            },
        )?
        .into_any(),
        Note::Closed { link, reason } => Py::new(
            py,
            Closed {
                link: link.0,
                reason,
            },
        )?
        .into_any(),
    })
}

/// Long enough for any reader that reads at all.
const FLUSH_SECONDS_MAX: Duration = Duration::from_secs(300);

/// The data plane. Commands only enqueue; their effects come back as notes.
#[pyclass(frozen, module = "pywire._rust.relay")]
pub(crate) struct Engine(pywire_relay::Engine);

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (
        *, workers, driver="auto", notes_max=65536, receive_bytes=65_536, startup_seconds_max=60.0,
        startups_max=10_000, message_bytes_max=1_048_576, statements_bytes_max=1_048_576,
        tcp_user_timeout_ms=0, keepalive_idle_seconds=60
    ))]
    #[expect(
        clippy::too_many_arguments,
        reason = "keyword arguments of one configuration section"
    )]
    fn new(
        workers: usize,
        driver: &str,
        notes_max: usize,
        receive_bytes: usize,
        startup_seconds_max: f64,
        startups_max: usize,
        message_bytes_max: usize,
        statements_bytes_max: usize,
        tcp_user_timeout_ms: u32,
        keepalive_idle_seconds: u32,
    ) -> PyResult<Self> {
        let driver = match driver {
            "auto" => DriverChoice::Auto,
            "epoll" => DriverChoice::Epoll,
            "io_uring" => DriverChoice::IoUring,
            _ => {
                return Err(PyValueError::new_err(
                    "driver must be auto, epoll or io_uring",
                ));
            }
        };
        let startup_seconds_max = Duration::try_from_secs_f64(startup_seconds_max)
            .map_err(|_| PyValueError::new_err("startup_seconds_max is out of range"))?;
        let settings = Settings {
            workers,
            driver,
            notes_max,
            receive_bytes,
            startup_seconds_max,
            flush_seconds_max: FLUSH_SECONDS_MAX,
            startups_max,
            message_bytes_max,
            statements_bytes_max,
            tcp_user_timeout_ms,
            keepalive_idle_seconds,
        };
        pywire_relay::Engine::start(settings)
            .map(Self)
            .map_err(|e| PyOSError::new_err(e.to_string()))
    }

    #[getter]
    fn event_fd(&self) -> i32 {
        self.0.event_fd()
    }

    #[getter]
    fn driver(&self) -> &'static str {
        match self.0.driver() {
            DriverChoice::IoUring => "io_uring",
            DriverChoice::Auto | DriverChoice::Epoll => "epoll",
        }
    }

    #[getter]
    fn workers(&self) -> usize {
        self.0.workers()
    }

    #[pyo3(signature = (fd, tls=None))]
    fn listen(&self, fd: i32, tls: Option<&ServerTls>) -> PyResult<u64> {
        let fd = pywire_relay::adopt(fd).map_err(|e| PyOSError::new_err(e.to_string()))?;
        Ok(self.0.listen(fd, tls.map(|tls| tls.0.clone())))
    }

    fn unlisten(&self, listener: u64) {
        self.0.unlisten(listener);
    }

    #[pyo3(signature = (listener, tls=None))]
    fn set_listener_tls(&self, listener: u64, tls: Option<&ServerTls>) {
        self.0
            .set_listener_tls(listener, tls.map(|tls| tls.0.clone()));
    }

    #[pyo3(signature = (fd, *, near=None, tls=None, tls_required=false, direct_tls=false, server_name="", hello=&b""[..]))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn dial(
        &self,
        fd: i32,
        near: Option<u64>,
        tls: Option<&ClientTls>,
        tls_required: bool,
        direct_tls: bool,
        server_name: &str,
        hello: &[u8],
    ) -> PyResult<u64> {
        let fd = pywire_relay::adopt(fd).map_err(|e| PyOSError::new_err(e.to_string()))?;
        let dial = Dial {
            tls: tls.map(|tls| tls.0.clone()),
            tls_required,
            direct_tls,
            server_name: server_name.to_owned(),
            hello: hello.to_vec(),
        };
        Ok(self.0.dial(fd, near.map(LinkId), dial).0)
    }

    fn send(&self, link: u64, data: &[u8]) {
        self.0.send(LinkId(link), data.to_vec());
    }

    fn pair(&self, client: u64, backend: u64, generation: u64, hello: &[u8]) {
        self.0
            .pair(LinkId(client), LinkId(backend), generation, hello.to_vec());
    }

    fn hold(&self, session: u64, generation: u64) {
        self.0.hold(LinkId(session), generation, HoldMode::Idle);
    }

    fn hold_requests(&self, session: u64, generation: u64) {
        self.0.hold(LinkId(session), generation, HoldMode::Requests);
    }

    fn release(&self, session: u64, generation: u64) {
        self.0.release(LinkId(session), generation);
    }

    fn inject(&self, session: u64, generation: u64, data: &[u8]) {
        self.0.inject(LinkId(session), generation, data.to_vec());
    }

    fn cut_over(&self, session: u64, generation: u64, backend: u64, hello: &[u8]) {
        self.0
            .cut_over(LinkId(session), generation, LinkId(backend), hello.to_vec());
    }

    #[pyo3(signature = (link, farewell=&b""[..]))]
    fn close(&self, link: u64, farewell: &[u8]) {
        self.0.close(LinkId(link), farewell.to_vec());
    }

    fn session_stats(&self, session: u64) -> Option<SessionStats> {
        self.0.session_stats(LinkId(session)).map(Into::into)
    }

    /// Open links and sessions.
    fn totals(&self) -> (usize, usize) {
        self.0.totals()
    }

    fn drain(&self, py: Python<'_>, limit: usize) -> PyResult<Vec<Py<PyAny>>> {
        self.0
            .drain(limit)
            .into_iter()
            .map(|note| to_python(py, note))
            .collect()
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.stop());
    }
}

#[pymodule]
pub(crate) mod relay {
    #[pymodule_export]
    use super::{
        CancelRequested, ClientTls, Closed, Connected, CutOver, Engine, Flagged, Held, Messages,
        Opened, ParameterChanged, Refused, ServerTls, SessionStats, TlsInfo, end_point_hash,
    };
}
