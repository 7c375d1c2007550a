//! Waiting until the history has come as far as is needed.

use std::time::Duration;

use schemas::{Epoch, Partition, Position};
use tokio::time::{Instant, sleep, timeout_at};

use super::{History, HistoryError, Progress};

/// The first pause between two looks at the history; twice as long each time.
const POLL_MIN: Duration = Duration::from_millis(1);
/// The longest pause.
const POLL_MAX: Duration = Duration::from_millis(50);

/// Why the history is not where it is needed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReachError {
    /// It did not come so far in time. Trying again may help.
    #[error("the history is at position {place} of partition {partition} and did not reach {wanted} in time")]
    Behind {
        /// Which partition.
        partition: Partition,
        /// How far it is.
        place: Position,
        /// How far it should be.
        wanted: Position,
    },
    /// It did not answer.
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// How far the history of the log `epoch` has come in `partition`; at the start if it has not begun.
///
/// # Errors
/// It does not answer, or was built from another log.
pub async fn place(
    history: &dyn History,
    partition: Partition,
    epoch: &Epoch,
) -> Result<Position, HistoryError> {
    match history.progress(partition).await? {
        None => Ok(Position::START),
        Some(Progress { epoch: found, position }) if found == *epoch => Ok(position),
        Some(Progress { epoch: found, .. }) => Err(HistoryError::OtherLog { expected: epoch.clone(), found }),
    }
}

/// Waits until the history of the log `epoch` has everything before `wanted` in `partition`, and looks at least once.
///
/// # Errors
/// It did not come so far by the deadline, does not answer, or was built from another log.
pub async fn reach(
    history: &dyn History,
    partition: Partition,
    wanted: Position,
    epoch: &Epoch,
    deadline: Instant,
) -> Result<(), ReachError> {
    let mut pause = POLL_MIN;
    loop {
        let looked = timeout_at(deadline, place(history, partition, epoch)).await;
        let place = looked.map_err(|_| no_answer())??;
        if place >= wanted {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(ReachError::Behind { partition, place, wanted });
        }
        sleep(pause.min(deadline - Instant::now())).await;
        pause = (pause * 2).min(POLL_MAX);
    }
}

fn no_answer() -> HistoryError {
    HistoryError::Unavailable { reason: "it did not say in time how far it is".to_owned() }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{
        event_log::EventLog,
        testing::{World, created, posted},
    };

    const P0: Partition = Partition(0);

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(2)
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_until_the_history_is_there_and_no_longer_than_it_may() {
        let mut world = World::new(1);
        world.append(&created("tea")).await;
        world.append(&posted("tea", "m-1", "ann")).await;
        let (epoch, history) = (world.log.epoch(), world.history.clone());
        reach(&history, P0, Position::START, &epoch, Instant::now()).await.unwrap();
        let mut waiting = std::pin::pin!(reach(&history, P0, Position::new(2), &epoch, soon()));
        assert!((&mut waiting).now_or_never().is_none());
        world.project(P0, 1).await;
        assert!((&mut waiting).now_or_never().is_none());
        world.project(P0, 1).await;
        waiting.await.unwrap();
        let began = Instant::now();
        let error = reach(&history, P0, Position::new(3), &epoch, soon()).await.unwrap_err();
        assert_eq!(began.elapsed(), Duration::from_secs(2));
        assert!(matches!(error, ReachError::Behind { place, .. } if place == Position::new(2)), "{error}");
    }

    #[tokio::test]
    async fn the_history_of_another_log_is_never_there() {
        let mut world = World::new(1);
        world.append(&created("tea")).await;
        world.project(P0, 1).await;
        let error = reach(&world.history, P0, Position::new(1), &"other".parse().unwrap(), soon()).await;
        assert!(matches!(error, Err(ReachError::History(HistoryError::OtherLog { .. }))));
    }
}
