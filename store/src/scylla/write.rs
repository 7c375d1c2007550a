//! Applying a batch: what order the rows are written in, and how they are grouped on their way.
//!
//! ```text
//!   epoch --> events, ids, reactions, lists --> the state of each conversation --> progress
//!             many at once                      each as a whole, many at once      when all else is durable
//! ```
//!
//! Each step begins when the one before is durable. So whoever sees the state of a conversation up to an event finds all events up to it, and
//! whoever sees the progress finds everything. If a step fails or the caller goes away the batch is applied again from the start, which
//! does no harm: each row has its stamp.

use std::collections::{BTreeMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use kernel::history::{Batch, HistoryError};
use parking_lot::Mutex;
use schemas::{ConversationId, Epoch, Partition, Position};
use scylla::{
    cluster::ClusterState,
    statement::{
        batch::{Batch as CqlBatch, BatchType},
        prepared::PreparedStatement,
    },
};
use tokio::sync::Semaphore;

use super::{
    row,
    rows::{Row, Rows, Unit, Values},
    session::{SharedConnection, unavailable},
    stamp::{OFFSETS, Stamp},
    statements::{Insert, Inserts, Select, Selects},
};

/// Most bytes of rows in one request that goes into one partition of a table.
const REQUEST_BYTES_MAX: usize = 24 * 1_024;
/// Most bytes in one that goes into several, as we weigh them, which may be an eighth too little. Cassandra complains in its log of each
/// that has more than 5 KiB (`batch_size_warn_threshold`) and refuses 50, Scylla does so at 128 KiB and 1 MiB; of one partition they say
/// nothing.
const MIXED_BYTES_MAX: usize = 4 * 1_024;
/// Most rows in one request.
const REQUEST_ROWS_MAX: usize = 100;
/// Requests under way at once, of all batches together.
const IN_FLIGHT_MAX: usize = 32;
/// Buckets that are known to be written already. When there are more they are forgotten, and written once again.
const BUCKETS_KNOWN_MAX: usize = 100_000;

/// Which servers keep a row, in order, and on which of its processors the first does.
type Replicas = Vec<(u128, u32)>;

/// Writes batches.
#[derive(Debug)]
pub(super) struct Writer {
    connection: SharedConnection,
    inserts: Inserts,
    in_flight: Semaphore,
    buckets: Mutex<HashSet<(ConversationId, i64)>>,
}

/// A unit on its way.
#[derive(Debug)]
struct Placed<'a> {
    token: i64,
    weight: usize,
    unit: Unit<'a>,
}

impl Writer {
    pub(super) fn new(connection: SharedConnection, inserts: Inserts) -> Self {
        Self { connection, inserts, in_flight: Semaphore::new(IN_FLIGHT_MAX), buckets: Mutex::default() }
    }

    /// Resolves when all of the batch is durable.
    pub(super) async fn apply(&self, selects: &Selects, batch: &Batch) -> Result<(), HistoryError> {
        check_offsets(batch)?;
        self.claim(selects, &batch.epoch).await?;
        let Rows { mut loose, mut buckets, states } = Rows::of(batch);
        {
            let known = self.buckets.lock();
            buckets.retain(|(conversation, bucket)| !known.contains(&((*conversation).clone(), *bucket)));
        }
        loose.extend(buckets.iter().map(|(conversation, bucket)| Row {
            stamp: Stamp::SAME,
            values: Values::Bucket { conversation, bucket: *bucket },
        }));
        self.send(loose.into_iter().map(|row| Unit(vec![row])).collect()).await?;
        self.learn(&buckets);
        self.send(states).await?;
        self.progress(&batch.up_to).await
    }

    /// All at once: they lie in one partition of the table.
    async fn progress(&self, up_to: &BTreeMap<Partition, Position>) -> Result<(), HistoryError> {
        let statement = self.inserts.get(Insert::Progress);
        let values = |(partition, position): (&Partition, &Position)| {
            (i64::from(partition.0), i64::from(*position), Stamp::of_position(*position).number())
        };
        let rows: Vec<_> = up_to.iter().map(values).collect();
        self.connection.write(&batch_of(rows.iter().map(|_| statement)), &rows).await
    }

    /// Makes sure that the history is of this log. If two logs begin at once, the servers keep one of the names, the same for both.
    async fn claim(&self, selects: &Selects, epoch: &Epoch) -> Result<(), HistoryError> {
        let mut found = self.found_epoch(selects).await?;
        if found.is_none() {
            let values = (epoch.as_str(), Stamp::SAME.number());
            self.connection.insert(self.inserts.get(Insert::Epoch), values).await?;
            found = self.found_epoch(selects).await?;
        }
        match found {
            Some(found) if found == *epoch => Ok(()),
            Some(found) => Err(HistoryError::OtherLog { expected: epoch.clone(), found }),
            None => Err(unavailable(&"the name of the log was written and is not there")),
        }
    }

    async fn found_epoch(&self, selects: &Selects) -> Result<Option<Epoch>, HistoryError> {
        let found: Option<(Option<String>,)> = self.connection.first(selects.get(Select::Epoch), ()).await?;
        found.and_then(|(epoch,)| epoch).map(|epoch| row::parsed("epoch", &epoch)).transpose()
    }

    fn learn(&self, buckets: &[(&ConversationId, i64)]) {
        let mut known = self.buckets.lock();
        if known.len() + buckets.len() > BUCKETS_KNOWN_MAX {
            known.clear();
        }
        known.extend(buckets.iter().map(|(conversation, bucket)| ((*conversation).clone(), *bucket)));
    }

    /// Writes units, each to the servers that keep it, together with others that they keep.
    async fn send(&self, units: Vec<Unit<'_>>) -> Result<(), HistoryError> {
        let cluster = self.connection.session.get_cluster_state();
        let mut groups: BTreeMap<_, Vec<Placed<'_>>> = BTreeMap::new();
        for unit in units {
            let (replicas, placed) = self.place(&cluster, unit)?;
            groups.entry(replicas).or_default().push(placed);
        }
        // Collected, since what is sent borrows from it only.
        let requests: Vec<_> = groups.into_values().flat_map(requests).collect();
        let sent: Vec<_> = requests.iter().map(|rows| self.request(rows)).collect();
        stream::iter(sent).buffer_unordered(IN_FLIGHT_MAX).try_collect::<()>().await
    }

    fn place<'a>(
        &self,
        cluster: &ClusterState,
        unit: Unit<'a>,
    ) -> Result<(Replicas, Placed<'a>), HistoryError> {
        let Some(row) = unit.0.first() else {
            return Ok((Vec::new(), Placed { token: 0, weight: 0, unit }));
        };
        let statement = self.inserts.get(row.insert());
        let token = statement.calculate_token(row).map_err(|error| unavailable(&error))?;
        let table = statement.get_table_name().unwrap_or_default();
        let keyspace = self.connection.keyspace.as_str();
        let replicas = token.map(|token| cluster.get_token_endpoints(keyspace, table, token));
        let replicas = replicas.unwrap_or_default();
        let on_first = replicas.first().map_or(0, |(_, shard)| *shard);
        let replicas = replicas.iter().map(|(node, _)| (node.host_id.as_u128(), on_first)).collect();
        let weight = unit.0.iter().map(Row::weight).sum();
        Ok((replicas, Placed { token: token.map_or(0, |token| token.value()), weight, unit }))
    }

    async fn request(&self, rows: &[Row<'_>]) -> Result<(), HistoryError> {
        let batch = batch_of(rows.iter().map(|row| self.inserts.get(row.insert())));
        let _turn = self.in_flight.acquire().await.map_err(|error| unavailable(&error))?;
        self.connection.write(&batch, rows).await
    }
}

fn batch_of<'a>(statements: impl Iterator<Item = &'a PreparedStatement>) -> CqlBatch {
    let statements = statements.cloned().map(Into::into).collect();
    let mut batch = CqlBatch::new_with_statements(BatchType::Unlogged, statements);
    batch.set_is_idempotent(true);
    batch
}

/// The requests for units that the same servers keep: a partition with many rows has its own, since it is written at once, the others go
/// together.
fn requests(group: Vec<Placed<'_>>) -> Vec<Vec<Row<'_>>> {
    let mut partitions: BTreeMap<i64, Vec<Placed<'_>>> = BTreeMap::new();
    for placed in group {
        partitions.entry(placed.token).or_default().push(placed);
    }
    let weight = |partition: &Vec<Placed<'_>>| partition.iter().map(|placed| placed.weight).sum::<usize>();
    let (large, small): (Vec<_>, Vec<_>) =
        partitions.into_values().partition(|partition| weight(partition) > MIXED_BYTES_MAX);
    let mixed = cut(small.into_iter().flatten(), MIXED_BYTES_MAX, REQUEST_ROWS_MAX);
    let alone = large.into_iter().flat_map(|units| cut(units, REQUEST_BYTES_MAX, REQUEST_ROWS_MAX));
    alone.chain(mixed).collect()
}

/// Cuts units into requests, in order: no unit cut, and no request above the bounds unless one unit alone is.
fn cut<'a>(
    units: impl IntoIterator<Item = Placed<'a>>,
    bytes_max: usize,
    rows_max: usize,
) -> Vec<Vec<Row<'a>>> {
    let (mut requests, mut bytes) = (Vec::new(), 0);
    let mut current: Vec<Row<'_>> = Vec::new();
    for Placed { weight, unit: Unit(rows), .. } in units {
        let full = bytes + weight > bytes_max || current.len() + rows.len() > rows_max;
        if full && !current.is_empty() {
            requests.push(std::mem::take(&mut current));
            bytes = 0;
        }
        bytes += weight;
        current.extend(rows);
    }
    if !current.is_empty() {
        requests.push(current);
    }
    requests
}

/// A log beyond what can be stamped has to begin anew.
fn check_offsets(batch: &Batch) -> Result<(), HistoryError> {
    let last = batch.events.iter().map(|projected| projected.event.offset.position()).max();
    match last.max(batch.up_to.values().max().copied()) {
        Some(beyond) if beyond.get() > OFFSETS => {
            let reason = format!("position {beyond} is beyond {OFFSETS}, the last that can be stamped");
            Err(HistoryError::Damaged { reason })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
