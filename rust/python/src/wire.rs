//! `pywire._rust.wire`: the tracker the engine runs, without an engine.

use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use pywire_wire as core;
use pywire_wire::{Owner, StatementFlags, TransactionStatus};

create_exception!(
    pywire._rust.wire,
    WireError,
    PyValueError,
    "Bytes that are not messages, or messages that may not be injected."
);

fn wire_error(error: core::WireError) -> PyErr {
    WireError::new_err(error.to_string())
}

/// Which side of the protocol sends.
#[pyclass(
    frozen,
    eq,
    hash,
    from_py_object,
    module = "pywire._rust.wire",
    rename_all = "SCREAMING_SNAKE_CASE"
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// The client.
    Frontend,
    /// The server.
    Backend,
}

/// The backend reported a parameter.
#[pyclass(frozen, eq, get_all, module = "pywire._rust.wire")]
#[derive(PartialEq)]
pub(crate) struct ParameterStatus {
    name: Vec<u8>,
    value: Vec<u8>,
}

/// Something that may give the session state was seen for the first time.
#[pyclass(frozen, eq, get_all, module = "pywire._rust.wire")]
#[derive(PartialEq)]
pub(crate) struct Statement {
    flags: u32,
}

/// The backend is about to end the connection.
#[pyclass(frozen, eq, get_all, module = "pywire._rust.wire")]
#[derive(PartialEq)]
pub(crate) struct Fatal {
    sqlstate: Vec<u8>,
}

/// The client says goodbye.
#[pyclass(frozen, eq, get_all, module = "pywire._rust.wire")]
#[derive(PartialEq)]
pub(crate) struct Terminate {}

/// Replies are no longer understood.
#[pyclass(frozen, eq, get_all, module = "pywire._rust.wire")]
#[derive(PartialEq)]
pub(crate) struct Untracked {
    reason: String,
    offset: u64,
}

macro_rules! representation {
    ($($name:ident($($field:ident),*);)*) => {$(
        #[pymethods]
        impl $name {
            fn __repr__(&self) -> String {
                let fields: Vec<String> = vec![$(format!("{}={:?}", stringify!($field), self.$field)),*];
                format!("{}({})", stringify!($name), fields.join(", "))
            }
        }
    )*};
}

// Values of parameters can be private: a representation names the parameter only.
representation! {
    ParameterStatus(name);
    Statement(flags);
    Fatal(sqlstate);
    Terminate();
    Untracked(reason, offset);
}

fn note_object(py: Python<'_>, note: core::Note<'_>) -> PyResult<Py<PyAny>> {
    match note {
        core::Note::ParameterStatus { name, value } => {
            let (name, value) = (name.to_vec(), value.to_vec());
            Py::new(py, ParameterStatus { name, value }).map(Py::into_any)
        }
        core::Note::Statement(flags) => Py::new(
            py,
            Statement {
                flags: flags.bits(),
            },
        )
        .map(Py::into_any),
        core::Note::Fatal { sqlstate } => Py::new(
            py,
            Fatal {
                sqlstate: sqlstate.to_vec(),
            },
        )
        .map(Py::into_any),
        core::Note::Terminate => Py::new(py, Terminate {}).map(Py::into_any),
        core::Note::Untracked(error) => {
            let reason = error.violation.as_str().to_owned();
            Py::new(
                py,
                Untracked {
                    reason,
                    offset: error.offset,
                },
            )
            .map(Py::into_any)
        }
    }
}

/// Follows one session after login: bytes in, notes out.
#[pyclass(module = "pywire._rust.wire")]
pub(crate) struct Tracker {
    tracker: core::Tracker,
    /// Bytes of incomplete headers, per side.
    frontend: Vec<u8>,
    backend: Vec<u8>,
    /// Replies to what was injected.
    own: Vec<u8>,
}

impl Tracker {
    /// Presents the bytes until only part of a header is left, which is kept.
    fn feed_backend(
        &mut self,
        data: &[u8],
        sink: &mut impl core::Sink,
    ) -> Result<(), core::WireError> {
        self.backend.extend_from_slice(data);
        let mut at = 0;
        while at < self.backend.len() {
            let span = self.tracker.backend(&self.backend[at..], sink)?;
            if span.bytes == 0 {
                break;
            }
            if span.owner == Owner::Own {
                self.own
                    .extend_from_slice(&self.backend[at..at + span.bytes]);
            }
            at += span.bytes;
        }
        self.backend.drain(..at);
        Ok(())
    }
}

#[pymethods]
impl Tracker {
    #[new]
    #[pyo3(signature = (
        status = b'I',
        *,
        message_bytes_max = None,
        statements_bytes_max = None,
        protection = false,
        journal_bytes_max = None,
        digest_key = 0,
    ))]
    fn new(
        status: u8,
        message_bytes_max: Option<u32>,
        statements_bytes_max: Option<usize>,
        protection: bool,
        journal_bytes_max: Option<usize>,
        digest_key: u128,
    ) -> PyResult<Self> {
        let usual = core::TrackerConfig::default();
        let config = core::TrackerConfig {
            message_bytes_max: message_bytes_max.unwrap_or(usual.message_bytes_max),
            statements_bytes_max: statements_bytes_max.unwrap_or(usual.statements_bytes_max),
            protection,
            journal_bytes_max: journal_bytes_max.unwrap_or(usual.journal_bytes_max),
            digest_key,
        };
        let tracker = core::Tracker::new(&config, transaction_status(status)?);
        Ok(Self {
            tracker,
            frontend: Vec::new(),
            backend: Vec::new(),
            own: Vec::new(),
        })
    }

    /// Takes bytes that one side sent; returns what is worth telling about them.
    fn feed(&mut self, py: Python<'_>, side: Side, data: &[u8]) -> PyResult<Vec<Py<PyAny>>> {
        let mut notes = Vec::new();
        let mut sink = |note: core::Note<'_>| notes.push(note_object(py, note));
        match side {
            Side::Frontend => {
                self.frontend.extend_from_slice(data);
                let bytes = self.tracker.frontend(&self.frontend, false, &mut sink);
                self.frontend.drain(..bytes.map_err(wire_error)?);
            }
            Side::Backend => self.feed_backend(data, &mut sink).map_err(wire_error)?,
        }
        notes.into_iter().collect()
    }

    /// How many of these bytes of the frontend lie before the first request boundary.
    fn feed_until_boundary(&mut self, data: &[u8]) -> PyResult<usize> {
        let mut ignore = |_: core::Note<'_>| {};
        self.tracker
            .frontend(data, true, &mut ignore)
            .map_err(wire_error)
    }

    /// Our own requests were sent; their replies are collected for `own_replies`.
    fn inject(&mut self, data: &[u8]) -> PyResult<()> {
        let mut ignore = |_: core::Note<'_>| {};
        self.tracker.inject(data, &mut ignore).map_err(wire_error)
    }

    /// Replies to injected requests since the last call.
    fn own_replies<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let own = std::mem::take(&mut self.own);
        PyBytes::new(py, &own)
    }

    /// The session lives on another backend from now on.
    fn reset_backend(&mut self, status: u8) -> PyResult<()> {
        let status = transaction_status(status)?;
        if !self.quiescent() {
            return Err(WireError::new_err("the session is not quiescent"));
        }
        self.tracker.reset_backend(status);
        Ok(())
    }

    #[getter]
    fn quiescent(&self) -> bool {
        self.tracker.quiescent() && self.frontend.is_empty() && self.backend.is_empty()
    }

    #[getter]
    fn request_boundary(&self) -> bool {
        self.tracker.request_boundary() && self.frontend.is_empty()
    }

    #[getter]
    fn status(&self) -> u8 {
        self.tracker.status().as_byte()
    }

    #[getter]
    fn flags(&self) -> u32 {
        self.tracker.flags().bits()
    }

    #[getter]
    fn untracked(&self) -> bool {
        self.tracker.untracked()
    }

    #[getter]
    fn requests(&self) -> u64 {
        self.tracker.requests()
    }

    #[getter]
    fn answered(&self) -> u64 {
        self.tracker.answered()
    }

    #[getter]
    fn outstanding(&self) -> usize {
        self.tracker.outstanding()
    }

    /// Named statements: name to Parse message.
    fn statements<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let statements = PyDict::new(py);
        for (name, frame) in self.tracker.statements().named() {
            statements.set_item(PyBytes::new(py, name), PyBytes::new(py, frame))?;
        }
        Ok(statements)
    }

    /// The Parse message of the unnamed statement, if there is one.
    fn unnamed<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.tracker
            .statements()
            .unnamed()
            .map(|frame| PyBytes::new(py, frame))
    }

    /// The units of the open transaction block, or None if there is no journal or it overflowed.
    fn journal<'py>(&self, py: Python<'py>) -> Option<Vec<Bound<'py, PyBytes>>> {
        let journal = self
            .tracker
            .journal()
            .filter(|journal| !journal.overflowed())?;
        Some(
            journal
                .units()
                .map(|unit| PyBytes::new(py, unit.frames))
                .collect(),
        )
    }

    /// The digests of the units that have been answered.
    fn digests(&self) -> Vec<u128> {
        let units = self
            .tracker
            .journal()
            .into_iter()
            .flat_map(core::Journal::units);
        units
            .filter_map(|unit| unit.answer)
            .map(|(digest, _)| digest)
            .collect()
    }

    /// The digest of the replies to the first request in flight.
    fn digest(&self) -> Option<u128> {
        self.tracker.digest()
    }
}

fn transaction_status(byte: u8) -> PyResult<TransactionStatus> {
    TransactionStatus::from_byte(byte)
        .ok_or_else(|| PyValueError::new_err("a transaction status is one of I, T and E"))
}

/// The flags of what is found in a statement text.
#[pyfunction]
fn scan(text: &[u8]) -> u32 {
    core::scan(text).bits()
}

/// The names in a set of flags.
#[pyfunction]
fn flag_names(flags: u32) -> Vec<&'static str> {
    StatementFlags::from_bits(flags).names().collect()
}

/// PostgreSQL's wire protocol without I/O.
#[pymodule]
pub(crate) mod wire {
    #[pymodule_export]
    use super::{
        Fatal, ParameterStatus, Side, Statement, Terminate, Tracker, Untracked, WireError,
        flag_names, scan,
    };
}
