//! System calls on sockets: the only file of this crate that speaks to the kernel by hand.
//!
//! Every function here is a thin, safe door over one call. None of them blocks: sockets
//! are non-blocking, and `EINTR` is retried.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// What every stream socket of the relay is set to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketOptions {
    /// Milliseconds until unacknowledged data ends a connection; 0 leaves the kernel's default.
    pub(crate) tcp_user_timeout_ms: u32,
    /// Idle seconds before the first keepalive probe.
    pub(crate) keepalive_idle_seconds: u32,
}

/// A call that returns -1 on failure, retried while it is interrupted.
macro_rules! retry {
    ($call:expr) => {
        loop {
            let result = $call;
            if result >= 0 {
                break Ok(result);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                break Err(error);
            }
        }
    };
}

// The system calls of the hot path are made directly: the C library's functions are cancellation
// points, and each call of a process with threads would pay for switching that on and off.

/// Receives into `buffer`; 0 means the peer has closed its direction.
pub(crate) fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (start, length, none) = (buffer.as_mut_ptr(), buffer.len(), ptr::null_mut::<c_void>());
    // SAFETY: the pointer and length describe `buffer`, which outlives the call.
    let n = retry!(unsafe { libc::syscall(libc::SYS_recvfrom, fd, start, length, 0, none, none) })?;
    Ok(n.unsigned_abs() as usize)
}

/// Sends from `data`, without a signal when the peer is gone.
pub(crate) fn send(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    let (start, length, none) = (data.as_ptr(), data.len(), ptr::null::<c_void>());
    let flags = libc::MSG_NOSIGNAL;
    // SAFETY: the pointer and length describe `data`, which outlives the call.
    let n = retry!(unsafe { libc::syscall(libc::SYS_sendto, fd, start, length, flags, none, 0) })?;
    Ok(n.unsigned_abs() as usize)
}

/// Accepts one connection, non-blocking and closed on exec, with its peer's address.
pub(crate) fn accept(listener: RawFd) -> io::Result<(OwnedFd, String)> {
    // SAFETY: sockaddr_storage is plain data, for which zero is valid.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut length = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: `storage` and `length` are valid for writes and large enough for any address.
    let fd = retry!(unsafe {
        libc::accept4(listener, (&raw mut storage).cast(), &raw mut length, flags)
    })?;
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok((fd, address_text(&storage)))
}

/// Whether accept failed for want of descriptors or memory, and would at once again.
pub(crate) fn accept_is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// `host:port` of an internet address; `local` for a Unix-domain socket.
fn address_text(storage: &libc::sockaddr_storage) -> String {
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that this is a sockaddr_in.
            let a: &libc::sockaddr_in = unsafe { &*(&raw const *storage).cast() };
            let ip = Ipv4Addr::from(u32::from_be(a.sin_addr.s_addr));
            SocketAddr::new(IpAddr::V4(ip), u16::from_be(a.sin_port)).to_string()
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that this is a sockaddr_in6.
            let a: &libc::sockaddr_in6 = unsafe { &*(&raw const *storage).cast() };
            let ip = Ipv6Addr::from(a.sin6_addr.s6_addr);
            SocketAddr::new(IpAddr::V6(ip), u16::from_be(a.sin6_port)).to_string()
        }
        _ => "local".to_owned(),
    }
}

fn set(fd: RawFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let length = mem::size_of::<c_int>() as libc::socklen_t;
    // SAFETY: `value` is a c_int that outlives the call, and `length` is its size.
    let result = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), length) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn get(fd: RawFd, level: c_int, name: c_int) -> io::Result<c_int> {
    let mut value: c_int = 0;
    let mut length = mem::size_of::<c_int>() as libc::socklen_t;
    // SAFETY: `value` and `length` are valid for writes, and `length` is the size of `value`.
    let result =
        unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut length) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(value)
    }
}

/// Sets what each stream socket needs; a Unix-domain socket needs nothing.
pub(crate) fn prepare(fd: RawFd, options: SocketOptions) -> io::Result<()> {
    if get(fd, libc::SOL_SOCKET, libc::SO_DOMAIN)? == libc::AF_UNIX {
        return Ok(());
    }
    set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    set(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    let idle = c_int::try_from(options.keepalive_idle_seconds.max(1)).unwrap_or(c_int::MAX);
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, idle)?;
    if options.tcp_user_timeout_ms > 0 {
        let timeout = c_int::try_from(options.tcp_user_timeout_ms).unwrap_or(c_int::MAX);
        set(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, timeout)?;
    }
    Ok(())
}

/// The pending error of a socket: how a non-blocking connect ended.
pub(crate) fn pending_error(fd: RawFd) -> io::Result<()> {
    match get(fd, libc::SOL_SOCKET, libc::SO_ERROR)? {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// The address of the other end, as text.
pub(crate) fn peer_address(fd: RawFd) -> String {
    // SAFETY: sockaddr_storage is plain data, for which zero is valid.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut length = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: `storage` and `length` are valid for writes and large enough for any address.
    let result = unsafe { libc::getpeername(fd, (&raw mut storage).cast(), &raw mut length) };
    if result < 0 {
        "unknown".to_owned()
    } else {
        address_text(&storage)
    }
}

/// Ends both directions, so that whatever waits on the socket ends too.
pub(crate) fn shutdown(fd: RawFd) {
    // SAFETY: no memory is passed; a failure (the peer is gone already) changes nothing.
    let _ = unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

/// Says to the peer that no more will be sent.
pub(crate) fn shutdown_write(fd: RawFd) {
    // SAFETY: no memory is passed; a failure (the peer is gone already) changes nothing.
    let _ = unsafe { libc::shutdown(fd, libc::SHUT_WR) };
}

/// Takes a descriptor over from a caller that has given it up.
///
/// The caller promises that `fd` is open and owned by nobody else from here on.
pub fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFL passes no memory; it fails on a descriptor that is not open.
    let flags = retry!(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    // SAFETY: F_SETFL passes no memory.
    retry!(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    // SAFETY: the descriptor is open (checked above) and the caller has given it up.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A counter that wakes whoever waits on its descriptor.
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = retry!(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
        // SAFETY: the kernel has just given us this descriptor.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn signal(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes are read from `one`. A full counter (EAGAIN) wakes as well.
        let _ = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    pub(crate) fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight bytes are written to `count`.
        let _ = unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A set of descriptors to wait on.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = retry!(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just given us this descriptor.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn control(&self, operation: c_int, fd: RawFd, events: u32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: `event` outlives the call.
        retry!(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &raw mut event) })?;
        Ok(())
    }

    pub(crate) fn add(&self, fd: RawFd, events: u32, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, events, token)
    }

    pub(crate) fn modify(&self, fd: RawFd, events: u32, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, events, token)
    }

    pub(crate) fn remove(&self, fd: RawFd) {
        let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
    }

    /// Waits at most `timeout_ms` (-1: for ever); the number of `events` filled in.
    pub(crate) fn wait(&self, events: &mut [libc::epoll_event], timeout_ms: c_int) -> usize {
        let max = c_int::try_from(events.len()).unwrap_or(c_int::MAX);
        let (epoll, start) = (self.0.as_raw_fd(), events.as_mut_ptr());
        let (number, none) = (libc::SYS_epoll_pwait, ptr::null::<c_void>());
        // SAFETY: `events` is valid for `max` writes; there is no signal mask.
        let n = unsafe { libc::syscall(number, epoll, start, max, timeout_ms, none, 0) };
        usize::try_from(n).unwrap_or(0) // interrupted: nothing happened
    }
}
