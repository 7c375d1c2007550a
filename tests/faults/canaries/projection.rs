//! A bug of the projection: progress is written before the rows, and the process dies between the two.

use std::sync::Arc;

use anyhow::{Context, bail};
use async_trait::async_trait;
use kernel::{
    clock::{Clock, SystemClock},
    event_log::{NewRecord, SharedLog, memory::MemoryLog},
    history::{
        Batch, Depth, Extent, Found, History, HistoryError, Listed, Message, Post, Progress, SharedHistory,
        Snapshot, StoredEvent,
        faulty::{FaultyHistory, HistoryFaults},
        memory::MemoryHistory,
    },
};
use schemas::{
    ChatEvent, ConversationId, EventBody, EventId, Partition, UserId, Visibility,
    codec::Codec,
    event::{ConversationCreated, MessagePosted, Style},
    json::EventJson,
};
use store::Projector;
use tests::{
    api::{Accepted, Answer, EventLine},
    checker::{Evidence, Verdict},
    sent::{Act, Sent},
    wait::until,
};

const CONVERSATION: &str = "tea";
const PARTITION: Partition = Partition(0);
/// Messages before, around and after the crash.
const MESSAGES: usize = 20;

/// The bug: the progress of a batch is durable before its rows are.
#[derive(Debug)]
struct Eager {
    progress: SharedHistory,
    rows: SharedHistory,
}

/// A log, a history, and what was sent.
struct World {
    log: SharedLog,
    kept: SharedHistory,
    faults: HistoryFaults,
    /// The history as the projector has it.
    history: SharedHistory,
    record: Vec<Sent>,
}

impl World {
    fn new(eager: bool) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let kept: SharedHistory = Arc::new(MemoryHistory::new());
        let (failing, faults) = FaultyHistory::new(Arc::clone(&kept));
        let rows: SharedHistory = Arc::new(failing);
        let history = if eager { Arc::new(Eager { progress: Arc::clone(&kept), rows }) as _ } else { rows };
        Self { log: Arc::new(MemoryLog::new(1, clock)), kept, faults, history, record: Vec::new() }
    }

    /// Appends what ingest would append, and records the answer that it would give.
    async fn send(&mut self, act: Act) -> anyhow::Result<()> {
        let number = self.record.len() as u64;
        let mut sent = Sent::new(CONVERSATION, "ann", number, format!("ann.{number}"), act);
        let body: EventBody = match &sent.act {
            Act::Create { .. } => {
                ConversationCreated { title: None, visibility: Visibility::Open, members: Vec::new() }.into()
            }
            Act::Post { text } => {
                MessagePosted { text: text.parse()?, style: Style::Plain, reply_to: None }.into()
            }
            other => bail!("not sent here: {other:?}"),
        };
        let event = ChatEvent {
            event_id: sent.id.parse()?,
            conversation: sent.conversation.parse()?,
            actor: sent.author.parse()?,
            occurred_at: SystemClock.now(),
            body,
        };
        let value = Codec::default().encode(&event)?;
        let record = NewRecord { key: event.conversation.clone(), value, headers: Vec::new() };
        let places = self.log.append(vec![record]).await?;
        sent.answers.push(Answer::Accepted(Accepted {
            offset: places.first().context("a place")?.offset.position().get(),
            epoch: self.log.epoch().to_string(),
            event_id: sent.id.clone(),
            duplicate: false,
        }));
        self.record.push(sent);
        Ok(())
    }

    async fn send_some(&mut self) -> anyhow::Result<()> {
        for number in 0..MESSAGES {
            self.send(Act::Post { text: format!("number {number}") }).await?;
        }
        Ok(())
    }

    /// Waits until the history says that it has everything.
    async fn settled(&self) -> anyhow::Result<()> {
        let tail = self.log.tail(PARTITION).await?;
        until("the history to reach the tail", async || {
            let progress = self.kept.progress(PARTITION).await?;
            Ok(progress.filter(|progress| progress.position >= tail).map(drop))
        })
        .await
    }

    /// What the checker says of the history.
    async fn verdict(&self) -> anyhow::Result<Verdict> {
        let conversation: ConversationId = CONVERSATION.parse()?;
        let stored = self.kept.events(&conversation, Extent::ALL).await?;
        let valid = stored.iter().filter(|stored| !stored.void);
        let lines = valid.map(|StoredEvent { event, offset, recorded_at, .. }| {
            EventLine::read(&EventJson::new(event, offset.position(), *recorded_at).to_text())
        });
        let events = lines.collect::<anyhow::Result<Vec<_>>>()?;
        let messages = self.kept.messages(&conversation, Extent::ALL).await?;
        let messages = messages.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
        let state = self.kept.snapshot(PARTITION, &conversation, Depth::Look).await?.state;
        let members = state.iter().flat_map(kernel::conversation::ConversationState::members);
        let members: Vec<_> = members.map(|(user, _)| user.to_string()).collect();
        let mut verdict = Verdict::default();
        verdict.judge(&Evidence {
            conversation: CONVERSATION,
            sent: &self.record,
            events: &events,
            messages: &messages,
            members: &members,
            sessions: &[],
            topic: None,
        });
        Ok(verdict)
    }
}

/// What the checker says after a crash in the middle of a batch.
async fn after_a_crash(eager: bool) -> anyhow::Result<Verdict> {
    let mut world = World::new(eager);
    let projector = Projector::start(Arc::clone(&world.log), Arc::clone(&world.history));
    world.send(Act::Create { private: false }).await?;
    world.send_some().await?;
    world.settled().await?;
    world.faults.hold_applies();
    world.send_some().await?;
    world.faults.until_held(1).await;
    // The crash: what is at hand is gone.
    drop(projector);
    world.faults.release_applies();
    let _projector = Projector::start(Arc::clone(&world.log), Arc::clone(&world.history));
    world.send_some().await?;
    world.settled().await?;
    world.verdict().await
}

#[tokio::test]
async fn a_crash_between_rows_and_progress_is_not_found() -> anyhow::Result<()> {
    let verdict = after_a_crash(false).await?;
    assert!(verdict.is_clean(), "{:?}", verdict.findings());
    Ok(())
}

#[tokio::test]
async fn a_commit_before_the_write_is_found() -> anyhow::Result<()> {
    let verdict = after_a_crash(true).await?;
    let findings = verdict.findings();
    let lost = |finding: &String| finding.ends_with("is not in the log");
    assert!(findings.iter().any(lost), "not found: {findings:?}");
    Ok(())
}

#[async_trait]
impl History for Eager {
    async fn apply(&self, batch: Batch) -> Result<(), HistoryError> {
        self.progress.apply(Batch { events: Vec::new(), ..batch.clone() }).await?;
        self.rows.apply(batch).await
    }

    async fn progress(&self, partition: Partition) -> Result<Option<Progress>, HistoryError> {
        self.rows.progress(partition).await
    }

    async fn snapshot(
        &self,
        partition: Partition,
        conversation: &ConversationId,
        depth: Depth,
    ) -> Result<Snapshot, HistoryError> {
        self.rows.snapshot(partition, conversation, depth).await
    }

    async fn events(
        &self,
        conversation: &ConversationId,
        extent: Extent,
    ) -> Result<Vec<StoredEvent>, HistoryError> {
        self.rows.events(conversation, extent).await
    }

    async fn messages(
        &self,
        conversation: &ConversationId,
        extent: Extent,
    ) -> Result<Vec<Message>, HistoryError> {
        self.rows.messages(conversation, extent).await
    }

    async fn posts(&self, conversation: &ConversationId, extent: Extent) -> Result<Vec<Post>, HistoryError> {
        self.rows.posts(conversation, extent).await
    }

    async fn find_all(
        &self,
        conversation: &ConversationId,
        event_ids: &[EventId],
    ) -> Result<Vec<Option<Found>>, HistoryError> {
        self.rows.find_all(conversation, event_ids).await
    }

    async fn conversations_of(
        &self,
        user: &UserId,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<Vec<Listed>, HistoryError> {
        self.rows.conversations_of(user, after, limit).await
    }

    async fn listed(
        &self,
        user: &UserId,
        conversation: &ConversationId,
    ) -> Result<Option<Listed>, HistoryError> {
        self.rows.listed(user, conversation).await
    }
}
