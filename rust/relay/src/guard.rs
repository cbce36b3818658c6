//! What happens when a worker fails on a fault of its own: the process ends.
//!
//! A thread that is no more would leave its sessions hanging, with nobody to tell the
//! control plane. Clients whose connections break at once can connect again.

use std::io::Write;
use std::{io, process, thread};

/// Ends the process if it is dropped by a panic.
pub(crate) struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            let text = "pywire: a relay worker has failed; no session can go on\n";
            let _ = io::stderr().write_all(text.as_bytes());
            process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AbortOnPanic;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};
    use std::{env, thread};

    const CHILD: &str = "PYWIRE_TEST_GUARD_CHILD";

    #[test]
    fn a_failing_thread_ends_the_process() {
        if env::var_os(CHILD).is_some() {
            let failing = thread::spawn(|| {
                let _guard = AbortOnPanic;
                panic!("on purpose");
            });
            let _ = failing.join();
            return;
        }
        let name = "guard::tests::a_failing_thread_ends_the_process";
        let status = Command::new(env::current_exe().unwrap())
            .args(["--exact", name])
            .env(CHILD, "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.signal(), Some(libc::SIGABRT));
    }
}
