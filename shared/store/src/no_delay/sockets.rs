//! The sockets of this process, which Linux lists.

use std::{
    fs,
    os::fd::{AsFd as _, OwnedFd, RawFd},
};

use rustix::{
    io,
    net::sockopt::set_tcp_nodelay,
    process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
};

/// Sets `TCP_NODELAY` on every TCP socket of this process, except those that are known to have it, to
/// which it adds them.
pub(super) fn set_no_delay(known: &mut Vec<RawFd>) -> std::io::Result<()> {
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    for number in descriptors()? {
        if !known.contains(&number) && set(&this, number).is_ok() {
            known.push(number);
        }
    }
    Ok(())
}

/// The file descriptors that this process has open.
fn descriptors() -> std::io::Result<Vec<RawFd>> {
    let names = fs::read_dir("/proc/self/fd")?;
    let number = |name: fs::DirEntry| name.file_name().to_str()?.parse().ok();
    Ok(names.filter_map(|name| number(name.ok()?)).collect())
}

/// Fails for whatever is not a TCP socket. A duplicate shares the settings of the original.
fn set(process: &OwnedFd, number: RawFd) -> io::Result<()> {
    let duplicate = pidfd_getfd(process.as_fd(), number, PidfdGetfdFlags::empty())?;
    set_tcp_nodelay(duplicate, true)
}
