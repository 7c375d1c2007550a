//! The tables: how they come about, in numbered steps, and which of the steps a keyspace has behind it.
//!
//! A step is a file of statements that may run again, so a migration that was cut short, or runs twice, is only run again. All that change
//! tables do so through one and the same server, which does one change after another; without that, two servers of a Cassandra cluster
//! could make one table twice.

use std::time::Duration;

use scylla::{
    client::session::Session,
    errors::{DbError, ExecutionError, RequestAttemptError},
    policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy},
    statement::Statement,
};

use super::{
    session::connect,
    settings::{Keyspace, Replication, ScyllaSettings},
};

/// The steps, oldest first; a step's number is its place in the list, from 1. Append only.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_tables.cql")];

/// The version of the tables that this build reads and writes: the number of the last step.
pub(super) const VERSION: i32 = 1;

const _: () = assert!(MIGRATIONS.len() == VERSION.unsigned_abs() as usize);

/// The tables of the history; all that a wipe drops but the record of the steps.
const TABLES: [&str; 6] = ["events", "buckets", "ids", "conversations", "conversations_by_user", "progress"];

/// How long a change of the tables may take.
const CHANGE_TIMEOUT: Duration = Duration::from_mins(1);

/// What a migration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The version before; 0 if there were no tables.
    pub from: u32,
    /// The version now.
    pub to: u32,
}

/// Why tables cannot be made or dropped. Call again: what was done stays done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MigrateError {
    /// The servers cannot be reached, or refuse.
    #[error("the tables of the history cannot be changed: {reason}")]
    Unusable {
        /// What is wrong, for the operator.
        reason: String,
    },
    /// A newer version of Tidings made the tables.
    #[error("the history has the version {found}, this build knows {known}: use a newer version of tidings")]
    TooNew {
        /// The version of the tables.
        found: u32,
        /// What this build knows.
        known: u32,
    },
}

/// What version of the tables a keyspace has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// No keyspace, or none of the tables.
    Nothing,
    Version(i32),
}

/// Makes the keyspace and the tables, or brings them to the version of this build. May run again, and in two places at once.
/// A keyspace that is there keeps its replication.
///
/// # Errors
/// See [`MigrateError`].
pub async fn migrate(settings: &ScyllaSettings, replication: &Replication) -> Result<Migrated, MigrateError> {
    let change = Change::begin(settings).await?;
    let keyspace = &settings.keyspace;
    let replication = replication.cql();
    change.run(&format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}")).await?;
    change.migrate(keyspace).await
}

/// Forgets everything, progress included, so that the history can be built anew from the start of the log: drops the tables and makes
/// them again. No server may use the history meanwhile; one that does is told that it is unavailable. If it is cut short, `migrate`
/// or another wipe completes it.
///
/// # Errors
/// See [`MigrateError`]; among them that there is no keyspace.
pub async fn wipe(settings: &ScyllaSettings) -> Result<(), MigrateError> {
    let change = Change::begin(settings).await?;
    let keyspace = &settings.keyspace;
    if let Found::Version(found) = found(&change.session, keyspace).await? {
        check_known(found)?;
    }
    // The record of the steps goes first: half a wipe is no history that could be opened.
    for table in std::iter::once("migrations").chain(TABLES) {
        change.run(&format!("DROP TABLE IF EXISTS {keyspace}.{table}")).await?;
    }
    change.migrate(keyspace).await.map(drop)
}

/// Which version of the tables the keyspace has. A server lists a table a moment before it answers questions about it, while somebody
/// makes the tables; so it is asked, and a refusal means that there is nothing yet.
pub(super) async fn found(session: &Session, keyspace: &Keyspace) -> Result<Found, MigrateError> {
    let select = format!("SELECT max(version) FROM {keyspace}.migrations WHERE part = 'history'");
    let answer = match session.query_unpaged(select, ()).await {
        Err(ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Invalid, _))) => {
            return Ok(Found::Nothing);
        }
        answer => answer.map_err(|error| unusable(&error))?,
    };
    let rows = answer.into_rows_result().map_err(|error| unusable(&error))?;
    let (version,) = rows.single_row::<(Option<i32>,)>().map_err(|error| unusable(&error))?;
    Ok(version.map_or(Found::Nothing, Found::Version))
}

/// A session that changes tables, all through one server.
struct Change {
    session: Session,
    server: NodeIdentifier,
}

impl Change {
    async fn begin(settings: &ScyllaSettings) -> Result<Self, MigrateError> {
        let session = connect(settings, CHANGE_TIMEOUT).await.map_err(|error| unusable(&error))?;
        let cluster = session.get_cluster_state();
        // The same one for all who change anything.
        let first = cluster.get_nodes_info().iter().map(|node| node.host_id).min();
        let first = first.ok_or_else(|| unusable(&"no server is known"))?;
        Ok(Self { session, server: NodeIdentifier::HostId(first) })
    }

    async fn migrate(&self, keyspace: &Keyspace) -> Result<Migrated, MigrateError> {
        let from = match found(&self.session, keyspace).await? {
            Found::Nothing => 0,
            Found::Version(version) => version,
        };
        check_known(from)?;
        self.session.use_keyspace(keyspace.as_str(), false).await.map_err(|error| unusable(&error))?;
        if from < VERSION {
            let steps = "CREATE TABLE IF NOT EXISTS migrations
                         (part text, version int, PRIMARY KEY ((part), version))";
            self.run(steps).await?;
        }
        for (version, migration) in (1..=VERSION).zip(MIGRATIONS) {
            if version <= from {
                continue;
            }
            for statement in statements(migration) {
                self.run(&statement).await?;
            }
            // Written when all of the step is there.
            self.run(&format!("INSERT INTO migrations (part, version) VALUES ('history', {version})"))
                .await?;
        }
        Ok(Migrated { from: from.unsigned_abs(), to: VERSION.unsigned_abs() })
    }

    /// Does one statement, and waits until all servers know of it.
    async fn run(&self, cql: &str) -> Result<(), MigrateError> {
        let mut statement = Statement::new(cql);
        statement.set_is_idempotent(true);
        let policy = SingleTargetLoadBalancingPolicy::new(self.server.clone(), None);
        statement.set_load_balancing_policy(Some(policy));
        self.session.query_unpaged(statement, ()).await.map_err(|error| unusable(&error))?;
        Ok(())
    }
}

/// The statements of a step: without comments, cut at the semicolons that end a line.
fn statements(migration: &str) -> Vec<String> {
    let lines = migration.lines().filter(|line| !line.trim_start().starts_with("--"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let statements = text.split(";\n").map(|statement| statement.trim().trim_end_matches(';').to_owned());
    statements.filter(|statement| !statement.is_empty()).collect()
}

fn check_known(found: i32) -> Result<(), MigrateError> {
    if found > VERSION {
        return Err(MigrateError::TooNew { found: found.unsigned_abs(), known: VERSION.unsigned_abs() });
    }
    Ok(())
}

fn unusable(error: &dyn ToString) -> MigrateError {
    MigrateError::Unusable { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_makes_what_a_wipe_drops_and_may_run_again() {
        let all: Vec<String> = MIGRATIONS.iter().flat_map(|migration| statements(migration)).collect();
        let made = |statement: &String| {
            let rest = statement.strip_prefix("CREATE TABLE IF NOT EXISTS ")?;
            rest.split_whitespace().next().map(ToOwned::to_owned)
        };
        let made: Vec<String> = all.iter().filter_map(made).collect();
        assert_eq!(made, TABLES);
        assert_eq!(all.len(), made.len(), "nothing but tables that may be there already");
        assert!(all.iter().all(|statement| !statement.contains(';') && !statement.contains("--")));
    }

    #[test]
    fn tables_of_a_newer_build_are_left_alone() {
        assert!(check_known(VERSION).is_ok());
        let error = check_known(VERSION + 1).unwrap_err();
        assert!(error.to_string().contains("use a newer version"), "{error}");
    }
}
