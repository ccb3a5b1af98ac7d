//! The sockets of this process, which Linux lists.

use std::{
    fs,
    os::fd::{AsFd as _, OwnedFd, RawFd},
};

use rustix::{
    io::{self, Errno},
    net::sockopt::{set_tcp_nodelay, tcp_nodelay},
    process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
};

/// Sets `TCP_NODELAY` on every TCP socket of this process. Returns how many did not have it.
pub(super) fn set_no_delay() -> std::io::Result<usize> {
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    let mut changed = 0;
    for number in descriptors()? {
        changed += usize::from(set(&this, number)?);
    }
    Ok(changed)
}

/// The file descriptors that this process has open.
fn descriptors() -> std::io::Result<Vec<RawFd>> {
    let names = fs::read_dir("/proc/self/fd")?;
    let number = |name: fs::DirEntry| name.file_name().to_str()?.parse().ok();
    Ok(names.filter_map(|name| number(name.ok()?)).collect())
}

/// Returns whether it was changed; whatever is not a TCP socket is not. A duplicate shares the settings of
/// the original.
fn set(process: &OwnedFd, number: RawFd) -> io::Result<bool> {
    let duplicate = match pidfd_getfd(process.as_fd(), number, PidfdGetfdFlags::empty()) {
        // Closed meanwhile.
        Err(Errno::BADF) => return Ok(false),
        other => other?,
    };
    Ok(tcp_nodelay(&duplicate) == Ok(false) && set_tcp_nodelay(&duplicate, true).is_ok())
}
