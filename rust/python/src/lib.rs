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
    use pyo3::prelude::*;

    /// Makes `import pywire._rust.relay` and `.wire` work, as for a package.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let modules = module.py().import("sys")?.getattr("modules")?;
        for name in ["relay", "wire"] {
            modules.set_item(format!("pywire._rust.{name}"), module.getattr(name)?)?;
        }
        Ok(())
    }
}
