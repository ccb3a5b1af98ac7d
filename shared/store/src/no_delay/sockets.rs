//! The sockets of this process, which Linux lists.

use std::{
    fs,
    os::fd::{AsFd as _, OwnedFd, RawFd},
};

use rustix::{
    io::{self, Errno},
    net::sockopt::set_tcp_nodelay,
    process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
};

/// Sets `TCP_NODELAY` on every TCP socket of this process.
pub(super) fn set_no_delay() -> std::io::Result<()> {
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    for number in descriptors()? {
        set(&this, number)?;
    }
    Ok(())
}

/// The file descriptors that this process has open.
fn descriptors() -> std::io::Result<Vec<RawFd>> {
    let names = fs::read_dir("/proc/self/fd")?;
    let number = |name: fs::DirEntry| name.file_name().to_str()?.parse().ok();
    Ok(names.filter_map(|name| number(name.ok()?)).collect())
}

/// Leaves alone whatever is not a TCP socket. A duplicate shares the settings of the original.
fn set(process: &OwnedFd, number: RawFd) -> io::Result<()> {
    match pidfd_getfd(process.as_fd(), number, PidfdGetfdFlags::empty()) {
        Ok(duplicate) => {
            let _ = set_tcp_nodelay(duplicate, true);
            Ok(())
        }
        // Closed meanwhile.
        Err(Errno::BADF) => Ok(()),
        Err(error) => Err(error),
    }
}
