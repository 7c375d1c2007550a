//! What a delivery takes, at a server of the measurement's own and at the floor.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::measure::{Cores, Floor, Lines, Place, Server, Taken, Work, on_the_load};

/// How long it takes to find how long a frame is.
const FRAME_TIME: Duration = Duration::from_millis(200);

/// A delivery, and the least that it can take.
#[derive(Debug, Serialize)]
pub(super) struct BesideFloor {
    pub(super) ours: Taken,
    /// The cheaper of those before and after.
    pub(super) floor: Taken,
    floor_before_us: f64,
    floor_after_us: f64,
    pub(super) ratio: f64,
}

/// The processors that were chosen; `null`: there was no choice.
#[derive(Debug, Serialize)]
pub(super) struct Processors {
    server_processor: Option<usize>,
    load_processor: Option<usize>,
}

/// Bytes of what a server writes for a delivery.
pub(super) async fn frame_bytes(server: &Server, cores: Option<Cores>) -> anyhow::Result<usize> {
    let (first, ()) = ours(server, cores, Work::ONE_FRAME, FRAME_TIME, || ()).await?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a length of some hundred bytes"
    )]
    Ok(first.bytes.round() as usize)
}

/// Does the work with a server, on the thread that is the load; `look` is asked when all sessions are in.
pub(super) async fn ours<R: Send + 'static>(
    server: &Server,
    cores: Option<Cores>,
    work: Work,
    time: Duration,
    look: impl FnOnce() -> R + Send + 'static,
) -> anyhow::Result<(Taken, R)> {
    let conversations = server.fresh_conversations(work.conversations).await?;
    server.under_load(cores, conversations, move |place| work.measure_and(place, time, look)).await
}

/// Does the same with the floor, which writes frames of that many bytes.
pub(super) async fn floor(
    frame_bytes: usize,
    cores: Option<Cores>,
    work: Work,
    time: Duration,
) -> anyhow::Result<Taken> {
    let floor = Floor::start(frame_bytes, cores)?;
    on_the_load(cores, move || {
        let conversations: Vec<_> = (0..work.conversations).map(|number| number.to_string()).collect();
        let (address, clock) = (floor.address, floor.clock.clone());
        let place =
            Place { dialect: &Lines, address, clock, conversations: &conversations, alone: cores.is_some() };
        work.measure(&place, time)
    })
    .await
}

impl BesideFloor {
    /// With the floors before and after.
    pub(super) fn new(ours: Taken, floors: [Taken; 2]) -> Self {
        let [before, after] = floors;
        let (floor_before_us, floor_after_us) = (before.cpu_us, after.cpu_us);
        let floor = if after.cpu_us < before.cpu_us { after } else { before };
        let ratio = ours.cpu_us / floor.cpu_us;
        Self { ours, floor, floor_before_us, floor_after_us, ratio }
    }

    /// Both floors, for people.
    pub(super) fn floors(&self) -> String {
        format!("({:.3}, {:.3})", self.floor_before_us, self.floor_after_us)
    }
}

impl From<Option<Cores>> for Processors {
    fn from(cores: Option<Cores>) -> Self {
        Self {
            server_processor: cores.map(|cores| cores.server),
            load_processor: cores.map(|cores| cores.load),
        }
    }
}

impl fmt::Display for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.server_processor.zip(self.load_processor) {
            Some((server, load)) => write!(f, "server on processor {server}, load on processor {load}"),
            None => write!(f, "server and load on any processor"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheaper_floor_counts() {
        let taken =
            |cpu_us| Taken { deliveries: 1, per_s: 1.0, cpu_us, load_us: None, bytes: 400.0, latency: None };
        for floors in [[2.0, 4.0], [4.0, 2.0]] {
            let beside = BesideFloor::new(taken(3.0), floors.map(taken));
            assert!((beside.ratio - 1.5).abs() < 1e-9, "{beside:?}");
        }
    }
}
