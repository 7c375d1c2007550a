//! The way in: bounds what is at work, and lets it run to its end.

use std::{future::Future, sync::Arc};

use async_trait::async_trait;
use kernel::{
    clock::Clock,
    command::{Accepted, CommandError, CommandSink, Request},
    identity::Identity,
    metric,
    mirror::Mirror,
    trace,
};
use tokio::{
    sync::{Semaphore, TryAcquireError},
    time::Instant,
};
use tracing::{Instrument, field::Empty};

use crate::{
    accept::Worker,
    append::{unavailable, unknown},
    fresh::Freshness,
    import::{self, ImportReport},
    limits::{COMMANDS_IN_FLIGHT_MAX, IMPORTS_IN_FLIGHT_MAX},
    recall::Recall,
    turns::Turns,
};

/// Takes commands and imports; see the crate's page.
#[derive(Debug)]
pub struct Ingest {
    worker: Arc<Worker>,
    commands: Arc<Semaphore>,
    imports: Arc<Semaphore>,
}

impl Ingest {
    /// Decides against the states of `mirror` and appends to its log. `clock` gives the times of acceptance.
    pub fn new(mirror: Arc<Mirror>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let partitions = mirror.log().partitions();
        let worker = Worker {
            mirror,
            clock,
            fresh: Freshness::new(partitions),
            recall: Recall::new(partitions),
            commands: Turns::default(),
            imports: Turns::default(),
        };
        Arc::new(Self {
            worker: Arc::new(worker),
            commands: Arc::new(Semaphore::new(COMMANDS_IN_FLIGHT_MAX)),
            imports: Arc::new(Semaphore::new(IMPORTS_IN_FLIGHT_MAX)),
        })
    }

    /// Imports lines of NDJSON as `docs/http.md` says, in the name of `identity`, whose right to do so the caller
    /// has checked. Resolves when all that is added is durable. Running it again adds nothing; imports of one
    /// conversation take turns at this node. Dropping the future does not stop it.
    ///
    /// # Errors
    /// See [`CommandError`]; after [`CommandError::Unknown`] a part may have been added. Lines that are refused are
    /// no error of the whole: they stand in the report.
    pub async fn import(&self, identity: &Identity, lines: &[u8]) -> Result<ImportReport, CommandError> {
        let parsed = import::parse(lines)?;
        let (worker, importer) = (Arc::clone(&self.worker), identity.user.clone());
        run("an import", &self.imports, async move { worker.import(&importer, parsed).await }).await
    }
}

#[async_trait]
impl CommandSink for Ingest {
    async fn execute(&self, request: Request) -> Result<Accepted, CommandError> {
        let begun = Instant::now();
        let (worker, kind) = (Arc::clone(&self.worker), request.command.event_type());
        let span = tracing::info_span!(
            target: trace::TARGET, "command",
            otel.kind = "server", otel.status_code = Empty,
            conversation.id = %request.conversation, event.type = kind, outcome = Empty,
        );
        let work = async move { worker.perform(&request).await };
        let done = run("a command", &self.commands, work).instrument(span.clone()).await;
        let outcome = outcome(&done);
        span.record("outcome", outcome);
        if done.as_ref().is_err_and(CommandError::retryable) {
            span.record("otel.status_code", "ERROR");
        }
        metric::COMMANDS.counter_of([kind, outcome]).increment(1);
        metric::COMMAND_TIME.histogram().record(begun.elapsed());
        done
    }
}

/// One word for what became of a command: a refusal's own code tells most.
fn outcome(done: &Result<Accepted, CommandError>) -> &'static str {
    match done {
        Ok(Accepted { duplicate: false, .. }) => "ok",
        Ok(Accepted { duplicate: true, .. }) => "repeated",
        Err(error) => error.code(),
    }
}

/// Does `work` to its end, whether or not the caller waits for it, if there is room. Failures that are not the
/// caller's doing are logged here, once.
async fn run<T: Send + 'static>(
    what: &'static str,
    room: &Arc<Semaphore>,
    work: impl Future<Output = Result<T, CommandError>> + Send + 'static,
) -> Result<T, CommandError> {
    let permit = Arc::clone(room).try_acquire_owned().map_err(|error| match error {
        TryAcquireError::NoPermits => unavailable("this node is at work on as much as it takes at a time"),
        TryAcquireError::Closed => unavailable("this node is stopping"),
    })?;
    let work = async move {
        let done = work.await;
        drop(permit);
        if let Err(error) = &done
            && error.retryable()
        {
            tracing::warn!(%error, "{what} was not done");
        }
        done
    };
    match tokio::spawn(work.in_current_span()).await {
        Ok(done) => done,
        Err(error) => {
            tracing::error!(%error, "{what} broke off");
            Err(unknown("the work broke off"))
        }
    }
}
