//! Servers whose compilers have seen enough: before that all is slower, and whoever is measured first pays for it.

use std::time::{Duration, Instant};

use server::cpu;

use crate::{posts::Target, rig::Rig};

/// Which part of a processor the compilers of warm servers take at most.
const COMPILERS_SHARE: f64 = 0.05;
/// How long servers are warmed up before their compilers are looked at again.
const STRETCH: Duration = Duration::from_secs(10);
/// How long servers are warmed up whose compilers cannot be looked at.
const UNSEEN: Duration = Duration::from_mins(1);
/// Connections over which the servers are warmed up.
const CONNECTIONS: u16 = 64;

/// Puts all that the servers do under load until their compilers have little left to do, for so long at most; `None`: they still
/// had. One cannot see into servers that are not ours: they are given [`UNSEEN`].
pub(crate) async fn warm_up(rig: &Rig, longest: Duration) -> anyhow::Result<Option<Duration>> {
    let node = rig.node(&rig.site().await?, &["ingest", "fanout", "store"]).await?;
    let (target, servers) = (Target::of(rig, &node).await?, rig.processes(&[]));
    let begun = Instant::now();
    while begun.elapsed() < longest {
        let (before, since) = (servers.compiling(), Instant::now());
        target.clone().post(CONNECTIONS, STRETCH).await?;
        let warm = match cpu::between(before, servers.compiling()) {
            Some(compiling) => compiling.div_duration_f64(since.elapsed()) < COMPILERS_SHARE,
            None => begun.elapsed() >= UNSEEN,
        };
        if warm {
            return Ok(Some(begun.elapsed()));
        }
    }
    Ok(None)
}
