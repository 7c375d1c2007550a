//! The topic as a port: an append-only log in partitions.
//!
//! ```text
//!   partition 0   [0][1][2][3][4] . . .
//!                  ^           ^ ^
//!                  first       | tail: the position after the last durable record
//!                              last durable record
//! ```
//!
//! Contract of every adapter, checked by one suite (`conformance`, with the feature `test-util`):
//! - offsets of a partition start at 0 and rise; a durable record never changes and never moves;
//! - records with the same key go to the same partition ([`partition_of`]), in the order they were appended;
//! - [`EventLog::append`] resolves only when the records would survive the end of the process and, as far as
//!   the storage goes, of the machine. Readers see a record only when it is durable;
//! - the epoch changes exactly when offsets change their meaning (another log under the same name).
//!
//! Why not hand Kafka's client to everybody? Because the same promises must hold on one laptop file and
//! on a cluster, and tests must be able to break the log in named ways ([`faulty`]).

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use schemas::{ConversationId, Epoch, Offset, Partition, Position, Timestamp};

#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
pub mod faulty;
mod follower;
mod groups;
pub mod kafka;
pub mod memory;
mod partitioner;
mod reading;
pub mod renumbered;
pub mod sqlite;

pub use partitioner::partition_of;
pub use reading::{Reading, read};

/// Most records that one append, one read or one delivery carries.
pub const BATCH_LEN_MAX: usize = 1_000;

/// A record on its way into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Decides the partition.
    pub key: ConversationId,
    /// The encoded event.
    pub value: Bytes,
    /// Facts for readers that do not decode: `event-type`, `event-id`, `content-type`, and those of [`crate::trace`].
    pub headers: Vec<Header>,
}

/// One header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name, lower case.
    pub name: String,
    /// Its value, UTF-8 by our convention.
    pub value: Bytes,
}

/// A record as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in its partition.
    pub offset: Offset,
    /// When the log took it; does not fall from record to record of a partition.
    pub recorded_at: Timestamp,
    /// The key's bytes: a conversation id, unless somebody else wrote to the topic.
    pub key: Bytes,
    /// The encoded event.
    pub value: Bytes,
    /// See [`NewRecord::headers`].
    pub headers: Arc<[Header]>,
}

impl NewRecord {
    /// The record that stands there now.
    fn at(self, offset: Offset, recorded_at: Timestamp) -> Record {
        let Self { key, value, headers } = self;
        Record { offset, recorded_at, key: key.as_str().to_owned().into(), value, headers: headers.into() }
    }
}

impl Record {
    /// The key as text, if it is some; the name of the conversation.
    pub fn key_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.key).ok()
    }
}

/// Where a record came to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// In which partition.
    pub partition: Partition,
    /// At which offset there.
    pub offset: Offset,
    /// When the log took it.
    pub recorded_at: Timestamp,
}

/// Who reads, and so where reading starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readership {
    /// Every such reader gets every record of every partition from the tail at the time of opening.
    Broadcast,
    /// Readers of one group share the partitions; each starts where the group last committed, or at 0.
    Group(&'static str),
}

/// What a reader is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Records of this partition follow, from this position. It may come again for a partition that is assigned already,
    /// with a later position: the reader had to begin anew there. What lies between was left out, if there is
    /// anything, and can be [read](EventLog::read).
    Assigned {
        /// Which partition.
        partition: Partition,
        /// Where its records begin.
        from: Position,
    },
    /// This partition belongs to another reader of the group now; what was not committed will be read there.
    Revoked {
        /// Which partition.
        partition: Partition,
    },
    /// The next records of a partition: ascending, none left out, at least one.
    Records {
        /// Which partition.
        partition: Partition,
        /// At most [`BATCH_LEN_MAX`].
        records: Vec<Record>,
    },
}

/// The log. Held as `Arc<dyn EventLog>`.
#[async_trait]
pub trait EventLog: Send + Sync + fmt::Debug {
    /// How many partitions there are: at least 1, fixed for the life of the log.
    fn partitions(&self) -> u32;

    /// Which incarnation of the log this is.
    fn epoch(&self) -> Epoch;

    /// Appends records and resolves when all of them are durable, with their places in the order given.
    ///
    /// Records of one partition keep their order. A batch is not a transaction: on an error each record may or
    /// may not be in the log, as the error says. Dropping the future may or may not take the records back.
    ///
    /// # Errors
    /// See [`AppendError`].
    async fn append(&self, batch: Vec<NewRecord>) -> Result<Vec<Place>, AppendError>;

    /// The records of `partition` from `from` on, ascending, before `up_to`, at most `limit` (held to
    /// 1..=[`BATCH_LEN_MAX`]). Empty when there is none.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn read(
        &self,
        partition: Partition,
        from: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError>;

    /// The position after the last durable record.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn tail(&self, partition: Partition) -> Result<Position, ReadError>;

    /// A reader that is told of new records as they become durable.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn open(&self, readership: Readership) -> Result<Box<dyn EventReader>, ReadError>;
}

/// Follows the log.
#[async_trait]
pub trait EventReader: Send + fmt::Debug {
    /// The next delivery; waits for one. Dropping the future loses nothing.
    ///
    /// # Errors
    /// See [`ReadError`]; after a retryable one, call again.
    async fn next(&mut self) -> Result<Delivery, ReadError>;

    /// For a group: all before `position` is done and need not be read again, by anybody of the group. Call
    /// it after the work is durable, never before. For a broadcast reader it does nothing.
    ///
    /// # Errors
    /// See [`ReadError`]; the work will be delivered again if no later commit succeeds.
    async fn commit(&mut self, partition: Partition, position: Position) -> Result<(), ReadError>;
}

/// Why an append did not end well.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Nothing of the batch is or will be in the log. Trying again may help.
    #[error("the log does not take records now: {reason}")]
    Unavailable {
        /// What is wrong, for the operator.
        reason: String,
    },
    /// The records may or may not be in the log, or may still come in. Trying again is safe only with the
    /// same event ids.
    #[error("it is unknown whether the log took the records: {reason}")]
    Unknown {
        /// What is wrong, for the operator.
        reason: String,
    },
    /// The batch itself is not acceptable: empty, too long, or a record too large. Trying again is useless.
    #[error("the batch is refused: {reason}")]
    Refused {
        /// What is wrong with it.
        reason: String,
    },
}

impl AppendError {
    /// Whether sending the same batch again can help.
    pub fn retryable(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

/// Why reading did not work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The log cannot be reached or read now. Trying again may help.
    #[error("the log cannot be read now: {reason}")]
    Unavailable {
        /// What is wrong, for the operator.
        reason: String,
    },
    /// This log is not the one that was opened any more: it was made anew under the same name. Nothing that is known here
    /// about offsets holds; the process has to begin anew.
    #[error("the log was replaced: {reason}")]
    Replaced {
        /// What is seen, for the operator.
        reason: String,
    },
    /// The log no longer has what was to be read next. To go on elsewhere would leave something out without a word.
    #[error("the log no longer has what was to be read: {reason}")]
    Lost {
        /// What is seen, for the operator.
        reason: String,
    },
    /// Whoever fetches for this reader is gone, by a defect that its panic message names: nothing more will come.
    #[error("the reader of the log has ended by a defect; the panic message says where")]
    Ended,
    /// There is no such partition.
    #[error("there is no partition {partition}")]
    NoPartition {
        /// Which was asked for.
        partition: Partition,
    },
}

impl ReadError {
    /// Whether asking again can help.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Checks a batch against the limits that hold for every adapter.
fn check_batch(batch: &[NewRecord]) -> Result<(), AppendError> {
    let refused = |reason: String| Err(AppendError::Refused { reason });
    if batch.is_empty() || batch.len() > BATCH_LEN_MAX {
        return refused(format!("{} records; 1 to {BATCH_LEN_MAX} go into a batch", batch.len()));
    }
    match batch.iter().map(|record| record.value.len()).max() {
        Some(len) if len > schemas::caps::RECORD_LEN_MAX => {
            refused(format!("a value of {len} bytes; at most {} fit", schemas::caps::RECORD_LEN_MAX))
        }
        _ => Ok(()),
    }
}

/// Shares a log.
pub type SharedLog = Arc<dyn EventLog>;
