//! The extension module `pywire._rust`: exports and conversions only.

mod relay;
mod wire;

use pyo3::prelude::*;

/// What is written in Rust: `wire`, pure, and `relay`, sockets and threads.
#[pymodule]
mod _rust {
    #[pymodule_export]
    use crate::relay::relay;
    #[pymodule_export]
    use crate::wire::wire;
}
