//! Which process it is, beyond a number that the system gives to another one later.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A process number together with the moment at which the process began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The process number.
    pub pid: u32,
    /// When the process began, in the words of the system.
    began: String,
}

impl Identity {
    /// The process that has this number now. `None` if there is none, or if it has
    /// ended and only waits for its parent to notice.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        began(pid).map(|began| Self { pid, began })
    }

    /// Whether this very process is still running.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        began(self.pid).is_some_and(|began| began == self.began)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pid.fmt(formatter)
    }
}

/// Linux counts from the last boot, so the boot belongs to the answer.
#[cfg(target_os = "linux")]
fn began(pid: u32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program comes second, in parentheses, and may contain anything.
    let (_, after_name) = status.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let ticks = fields.nth(18)?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(format!("{}/{ticks}", boot.trim()))
}

#[cfg(not(target_os = "linux"))]
fn began(pid: u32) -> Option<String> {
    let output = std::process::Command::new("ps")
        .args(["-o", "state=,lstart=", "-p", &pid.to_string()])
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    let answer = String::from_utf8(output.stdout).ok()?;
    let (state, began) = answer.trim().split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| began.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn this_process_is_alive() {
        assert!(Identity::of(std::process::id()).unwrap().is_alive());
    }

    #[test]
    fn a_number_that_went_to_another_process_is_not_mistaken() {
        let mut identity = Identity::of(std::process::id()).unwrap();
        identity.began.push('0');
        assert!(!identity.is_alive());
    }

    #[test]
    fn a_process_that_has_ended_is_dead_even_before_its_parent_notices() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(child.id()).unwrap();
        assert!(identity.is_alive());
        child.kill().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while identity.is_alive() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(!identity.is_alive());
        child.wait().unwrap();
        assert_eq!(Identity::of(child.id()), None);
    }
}
