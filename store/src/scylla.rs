//! The history in Scylla or Cassandra, for a service of several nodes.
//!
//! Invariant: the rows are a function of the set of events applied, whatever their order and however often each came, because each is
//! written with a stamp that is made from its event's offset (`scylla/stamp.rs`); and the state of a conversation changes as a whole, after
//! all else that it builds on (`scylla/write.rs`). The tables are described in `scylla/migrations/`, the reasons in
//! `docs/adr/0009-history-in-cql.md`.
//!
//! Deliberately not here: conditional writes, deletes, materialised views and indexes, and whatever only one of the two servers has.
//!
//! What was begun may be given up at any moment: a batch whose `apply` is dropped was applied in part or not at all, and may be applied
//! again.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use kernel::{
    History,
    history::{
        Batch, Depth, Digest, Extent, Found, HistoryError, Listed, Message, Post, Progress, Snapshot,
        StoredEvent,
    },
};
use schemas::{ConversationId, EventId, Partition, UserId};

mod bucket;
mod datacenter;
mod digest;
mod pages;
mod read;
mod row;
mod rows;
mod schema;
mod session;
mod settings;
mod stamp;
mod statements;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
mod tls;
mod write;

pub use schema::{MigrateError, Migrated, migrate, wipe};
pub use settings::{Identity, Keyspace, Login, Replication, ScyllaSettings, SettingsError, Tls};

use pages::Reader;
use session::{Connection, SharedConnection};
use statements::{Inserts, Selects};
use write::Writer;

/// See the module. Clones share the connections, which are closed when the last is gone.
#[derive(Clone)]
pub struct ScyllaHistory {
    shared: Arc<Shared>,
}

struct Shared {
    settings: ScyllaSettings,
    connection: SharedConnection,
    selects: Selects,
    writer: Writer,
}

/// Why a history cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// The servers cannot be reached, or refuse. Trying again may help.
    #[error("the history cannot be opened: {reason}")]
    Unusable {
        /// What is wrong, for the operator.
        reason: String,
    },
    /// The history is kept in several datacenters, and nothing says which of them to ask.
    #[error(
        "the history is kept in the datacenters {kept_in:?}: name one with `datacenter` under [scylla] in the settings file, the same for every \
         process"
    )]
    NoDatacenter {
        /// Where it is kept.
        kept_in: Vec<String>,
    },
    /// The datacenter that the settings name does not keep the history.
    #[error(
        "the history is not kept in the datacenter {named:?}, which `datacenter` under [scylla] names, but in {kept_in:?}"
    )]
    OtherDatacenter {
        /// What the settings name.
        named: String,
        /// Where it is kept.
        kept_in: Vec<String>,
    },
    /// The tables are not there, or those of an older version.
    #[error("the history has the version {found}, this build needs {known}: run `tidings history migrate`")]
    NotMigrated {
        /// The version of the tables; 0 if there are none.
        found: u32,
        /// What this build reads and writes.
        known: u32,
    },
    /// A newer version of Tidings made the tables.
    #[error("the history has the version {found}, this build knows {known}: use a newer version of tidings")]
    TooNew {
        /// The version of the tables.
        found: u32,
        /// What this build reads and writes.
        known: u32,
    },
}

impl fmt::Debug for ScyllaHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScyllaHistory").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl ScyllaHistory {
    /// Connects, and makes sure that the tables are those of this build.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(settings: ScyllaSettings) -> Result<Self, OpenError> {
        let connection = Connection::open(&settings).await.map_err(|error| unusable(&error))?;
        check_version(&connection, &settings).await?;
        {
            let cluster = connection.session.get_cluster_state();
            let keyspace = cluster.get_keyspace(settings.keyspace.as_str());
            datacenter::check(keyspace.map(|keyspace| &keyspace.strategy), settings.datacenter.as_deref())?;
        }
        let selects = Selects::prepare(&connection).await.map_err(|error| unusable(&error))?;
        let inserts = Inserts::prepare(&connection).await.map_err(|error| unusable(&error))?;
        let connection = Arc::new(connection);
        let writer = Writer::new(Arc::clone(&connection), inserts);
        Ok(Self { shared: Arc::new(Shared { settings, connection, selects, writer }) })
    }

    /// The fingerprint of everything it holds, progress included, the same as that of any other history of the same log. Reads all tables,
    /// page by page; what is written meanwhile may or may not be in it.
    ///
    /// # Errors
    /// See [`HistoryError`]; damage includes that two tables contradict each other.
    pub async fn digest(&self) -> Result<Digest, HistoryError> {
        digest::digest(&self.shared.connection).await
    }

    fn reader(&self) -> Reader<'_> {
        Reader { connection: &self.shared.connection, selects: &self.shared.selects }
    }
}

async fn check_version(connection: &Connection, settings: &ScyllaSettings) -> Result<(), OpenError> {
    let known = schema::VERSION;
    let found =
        schema::found(&connection.session, &settings.keyspace).await.map_err(|error| unusable(&error))?;
    let found = match found {
        schema::Found::Nothing => 0,
        schema::Found::Version(version) => version,
    };
    let (found, known) = (found.unsigned_abs(), known.unsigned_abs());
    match found.cmp(&known) {
        std::cmp::Ordering::Less => Err(OpenError::NotMigrated { found, known }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(OpenError::TooNew { found, known }),
    }
}

fn unusable(error: &dyn ToString) -> OpenError {
    OpenError::Unusable { reason: error.to_string() }
}

#[async_trait]
impl History for ScyllaHistory {
    async fn apply(&self, batch: Batch) -> Result<(), HistoryError> {
        self.shared.writer.apply(&self.shared.selects, &batch).await
    }

    async fn progress(&self, partition: Partition) -> Result<Option<Progress>, HistoryError> {
        self.reader().progress(partition).await
    }

    async fn snapshot(
        &self,
        partition: Partition,
        conversation: &ConversationId,
        depth: Depth,
    ) -> Result<Snapshot, HistoryError> {
        self.reader().snapshot(partition, conversation, depth).await
    }

    async fn events(
        &self,
        conversation: &ConversationId,
        extent: Extent,
    ) -> Result<Vec<StoredEvent>, HistoryError> {
        self.reader().events(conversation, extent).await
    }

    async fn messages(
        &self,
        conversation: &ConversationId,
        extent: Extent,
    ) -> Result<Vec<Message>, HistoryError> {
        self.reader().messages(conversation, extent).await
    }

    async fn posts(&self, conversation: &ConversationId, extent: Extent) -> Result<Vec<Post>, HistoryError> {
        self.reader().posts(conversation, extent).await
    }

    async fn find_all(
        &self,
        conversation: &ConversationId,
        event_ids: &[EventId],
    ) -> Result<Vec<Option<Found>>, HistoryError> {
        self.reader().find_all(conversation, event_ids).await
    }

    async fn conversations_of(
        &self,
        user: &UserId,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<Vec<Listed>, HistoryError> {
        self.reader().conversations_of(user, after, limit).await
    }

    async fn listed(
        &self,
        user: &UserId,
        conversation: &ConversationId,
    ) -> Result<Option<Listed>, HistoryError> {
        self.reader().listed(user, conversation).await
    }
}
