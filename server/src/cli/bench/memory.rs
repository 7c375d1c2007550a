//! The server's memory while something happens.

use std::time::Duration;

use tokio::time::interval;

use crate::measure::Server;

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Waits for something, and gives also the most memory that the server held meanwhile, in bytes.
pub(super) async fn watched<R>(server: &Server, doing: impl Future<Output = R>) -> (R, Option<u64>) {
    tokio::pin!(doing);
    let (mut most, mut look) = (server.memory(), interval(LOOK_PAUSE));
    loop {
        tokio::select! {
            done = &mut doing => return (done, most),
            _ = look.tick() => most = most.max(server.memory()),
        }
    }
}
