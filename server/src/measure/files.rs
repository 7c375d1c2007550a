//! Open files: each connection is one, here and at the server.

use anyhow::ensure;
use rustix::process::{Resource, getrlimit, setrlimit};

/// What a process has open besides its sessions.
const OTHERS: u64 = 256;

/// Makes room for so many sessions, here and in processes that are started from now on.
///
/// # Errors
/// The system allows no more: `ulimit -Hn` is too low.
pub fn make_room(sessions: u64) -> anyhow::Result<()> {
    let wanted = sessions + OTHERS;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    ensure!(
        limit.maximum.is_none_or(|maximum| maximum >= wanted),
        "{sessions} sessions need {wanted} open files, and a process may have {} (ulimit -Hn): raise that, or take fewer sessions",
        limit.maximum.unwrap_or_default()
    );
    limit.current = Some(wanted);
    setrlimit(Resource::Nofile, limit)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_some_and_not_for_all() {
        make_room(10).unwrap();
        if getrlimit(Resource::Nofile).maximum.is_some() {
            let error = make_room(u64::MAX / 2).unwrap_err().to_string();
            assert!(error.contains("ulimit"), "{error}");
        }
    }
}
