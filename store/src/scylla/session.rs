//! A session with the servers: how it is opened, and how a request is made until it is answered or given up.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use kernel::history::HistoryError;
use scylla::{
    client::{execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder},
    deserialize::row::DeserializeRow,
    errors::{DbError, ExecutionError, NewSessionError, RequestAttemptError},
    frame::types::Consistency,
    policies::load_balancing::DefaultPolicy,
    response::{PagingState, query_result::QueryResult},
    serialize::row::SerializeRow,
    statement::{batch::Batch, prepared::PreparedStatement},
};
use tokio::time::sleep;

use super::{
    settings::{Keyspace, Login, ScyllaSettings},
    tls::{self, TlsError},
};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the servers may take to answer; their own limits are shorter.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a request is made before it is given up.
const ATTEMPTS_MAX: u32 = 3;
/// The pause after the first attempt that failed; twice as long each time.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the certificate of a server is refused: {0}")]
    Refused(&'static str),
    #[error(transparent)]
    Session(#[from] NewSessionError),
}

/// Opens a session. `request_timeout`: of each request, the driver's own retries included.
pub(super) async fn connect(
    settings: &ScyllaSettings,
    request_timeout: Duration,
) -> Result<Session, ConnectError> {
    let balancing = DefaultPolicy::builder().token_aware(true);
    let balancing = match &settings.datacenter {
        Some(datacenter) => balancing.prefer_datacenter(datacenter.clone()),
        None => balancing,
    };
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .request_timeout(Some(request_timeout))
        .load_balancing_policy(balancing.build())
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&settings.nodes)
        .connection_timeout(CONNECT_TIMEOUT)
        .keyspaces_to_fetch([settings.keyspace.as_str()])
        .default_execution_profile_handle(profile.into_handle());
    if let Some(Login { user, password }) = &settings.login {
        builder = builder.user(user, password);
    }
    let Some(tls) = &settings.tls else { return Ok(builder.build().await?) };
    let (config, refusal) = tls::config(tls)?;
    let opened = builder.tls_context(Some(config)).build().await;
    opened.map_err(|error| refusal.reason().map_or(ConnectError::Session(error), ConnectError::Refused))
}

/// A session that reads and writes the tables of the history.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) session: Session,
    pub(super) keyspace: Keyspace,
}

impl Connection {
    pub(super) async fn open(settings: &ScyllaSettings) -> Result<Self, ConnectError> {
        let session = connect(settings, REQUEST_TIMEOUT).await?;
        Ok(Self { session, keyspace: settings.keyspace.clone() })
    }

    /// Writes a batch.
    pub(super) async fn write<T: SerializeRow>(&self, batch: &Batch, rows: &[T]) -> Result<(), HistoryError> {
        persist(|| self.session.batch(batch, rows)).await?;
        Ok(())
    }

    /// Writes one row.
    pub(super) async fn insert(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<(), HistoryError> {
        persist(|| self.session.execute_unpaged(statement, &values)).await?;
        Ok(())
    }

    /// Every row of an answer.
    pub(super) async fn rows<R>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Vec<R>, HistoryError>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let (mut all, mut next) = (Vec::new(), Some(PagingState::start()));
        while let Some(state) = next {
            let (page, rest) = self.page(statement, &values, state).await?;
            all.extend(page);
            next = rest;
        }
        Ok(all)
    }

    /// The first row of an answer.
    pub(super) async fn first<R>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Option<R>, HistoryError>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let (page, _) = self.page(statement, &values, PagingState::start()).await?;
        Ok(page.into_iter().next())
    }

    /// One page of an answer, and where the next begins.
    pub(super) async fn page<R>(
        &self,
        statement: &PreparedStatement,
        values: &impl SerializeRow,
        state: PagingState,
    ) -> Result<(Vec<R>, Option<PagingState>), HistoryError>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let (result, next) =
            persist(|| self.session.execute_single_page(statement, values, state.clone())).await?;
        let next = match next.into_paging_control_flow() {
            ControlFlow::Continue(state) => Some(state),
            ControlFlow::Break(()) => None,
        };
        Ok((read(result)?, next))
    }
}

fn read<R>(result: QueryResult) -> Result<Vec<R>, HistoryError>
where
    R: for<'frame> DeserializeRow<'frame, 'frame>,
{
    let rows = result.into_rows_result().map_err(|error| damaged(&error))?;
    let rows = rows.rows::<R>().map_err(|error| damaged(&error))?;
    rows.collect::<Result<_, _>>().map_err(|error| damaged(&error))
}

/// Makes a request until it is answered, or it is useless to go on. Whatever is asked here may be asked twice.
async fn persist<T, F>(mut request: impl FnMut() -> F) -> Result<T, HistoryError>
where
    F: Future<Output = Result<T, ExecutionError>>,
{
    let mut pause = PAUSE_MIN;
    for _ in 1..ATTEMPTS_MAX {
        match request().await {
            Err(error) if passing(&error) => {
                tracing::debug!(%error, "a request to the history failed; it is made again");
                sleep(pause).await;
                pause *= 2;
            }
            answer => return answer.map_err(|error| unavailable(&error)),
        }
    }
    request().await.map_err(|error| unavailable(&error))
}

/// Whether the same request may well be answered a moment later.
fn passing(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::ConnectionPoolError(_) | ExecutionError::RequestTimeout(_) => true,
        ExecutionError::LastAttemptError(attempt) => match attempt {
            RequestAttemptError::BrokenConnectionError(_) | RequestAttemptError::UnableToAllocStreamId => {
                true
            }
            RequestAttemptError::DbError(error, _) => matches!(
                error,
                DbError::Unavailable { .. }
                    | DbError::Overloaded
                    | DbError::IsBootstrapping
                    | DbError::ReadTimeout { .. }
                    | DbError::WriteTimeout { .. }
                    | DbError::ReadFailure { .. }
                    | DbError::WriteFailure { .. }
                    | DbError::Unprepared { .. }
                    | DbError::ServerError
                    | DbError::RateLimitReached { .. }
            ),
            _ => false,
        },
        _ => false,
    }
}

/// The servers did not do what was asked. The operator can mend that, whatever it is: a table that is not there, too.
pub(super) fn unavailable(error: &dyn ToString) -> HistoryError {
    HistoryError::Unavailable { reason: error.to_string() }
}

/// What was read is not what is written there.
fn damaged(error: &dyn ToString) -> HistoryError {
    HistoryError::Damaged { reason: error.to_string() }
}

/// Shares a connection.
pub(super) type SharedConnection = Arc<Connection>;
