//! Conversations from elsewhere, line by line, with their own times and ids.
//!
//! A request is first folded on trial, on a copy of each conversation's state, so that lines which the rules refuse never
//! reach the log. What remains is appended in the order given. The ids are those of the lines: running an import again
//! finds them all, and adds nothing. Lines that refer to each other (`reply_to`) find each other within the request too.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{
    command::CommandError,
    conversation::{Refusal, Void},
    event_log::{BATCH_LEN_MAX, NewRecord, Place},
};
use schemas::{ChatEvent, ConversationId, Partition, Position, UserId, caps};
use serde::Serialize;
use tokio::time::{Instant, timeout};

use crate::{
    accept::Worker,
    append::{Verdict, append, record_of, unavailable, unknown, verdict},
    limits::{FOLD_MAX, IMPORT_PREPARE_MAX},
};

mod draft;
mod line;

use draft::Draft;

/// What became of an import. Serialises to the JSON that clients get.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Lines that are events now.
    pub added: usize,
    /// Lines that were there before, or twice.
    pub already: usize,
    /// Lines that were refused, in their order.
    pub refused: Vec<RefusedLine>,
}

/// A line that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedLine {
    /// Which, from 1.
    pub line: usize,
    /// The stable name of the refusal.
    pub code: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// The lines of a request, read.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    lines: Vec<(usize, ChatEvent)>,
    refused: Vec<RefusedLine>,
}

/// An event to be appended; without a line if it makes the conversation.
#[derive(Debug)]
struct Entry {
    line: Option<usize>,
    event: ChatEvent,
}

/// Reads the lines; blank ones count as lines but are passed over.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, CommandError> {
    let mut parsed = Parsed::default();
    let lines = (1..).zip(bytes.split(|byte| *byte == b'\n'));
    for (read, (number, line)) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()).enumerate() {
        if read == caps::IMPORT_LINES_MAX {
            let max = caps::IMPORT_LINES_MAX;
            return Err(CommandError::Invalid(format!(
                "more than {max} lines; send them in parts, in order"
            )));
        }
        match line::read(line) {
            Ok(event) => parsed.lines.push((number, event)),
            Err(error) => {
                let (code, message) = (error.code(), error.to_string());
                parsed.refused.push(RefusedLine { line: number, code, message });
            }
        }
    }
    Ok(parsed)
}

impl ImportReport {
    fn refuse(&mut self, line: usize, refusal: Refusal) {
        self.refused.push(RefusedLine { line, code: refusal.code(), message: refusal.to_string() });
    }

    fn settle(&mut self, line: usize, known: Result<(), Refusal>) {
        match known {
            Ok(()) => self.already += 1,
            Err(refusal) => self.refuse(line, refusal),
        }
    }
}

impl Worker {
    /// Imports what was read. Not to be dropped halfway: its turns end with it.
    pub(crate) async fn import(
        &self,
        importer: &UserId,
        parsed: Parsed,
    ) -> Result<ImportReport, CommandError> {
        let Parsed { lines, refused } = parsed;
        let mut report = ImportReport { refused, ..ImportReport::default() };
        let conversations: BTreeSet<_> = lines.iter().map(|(_, event)| event.conversation.clone()).collect();
        let mut turns = Vec::new();
        // In the order of their names, so that two imports never wait for each other.
        for conversation in &conversations {
            turns.push(self.imports.take(conversation.clone()).await);
        }
        let prepared = timeout(IMPORT_PREPARE_MAX, self.draft(importer, lines, &mut report)).await;
        let (drafts, entries) =
            prepared.map_err(|_| unavailable("this node or the history is too far behind the log"))??;
        let moment = Instant::now();
        let places = self.append_all(&entries).await?;
        self.follow(&places, moment).await?;
        conclude(&drafts, &entries, &places, &mut report)?;
        report.refused.sort_by_key(|refused| refused.line);
        Ok(report)
    }

    /// Folds the lines on trial; gives what is to be appended.
    async fn draft(
        &self,
        importer: &UserId,
        lines: Vec<(usize, ChatEvent)>,
        report: &mut ImportReport,
    ) -> Result<(BTreeMap<ConversationId, Draft>, Vec<Entry>), CommandError> {
        let mut ids = BTreeMap::<_, BTreeSet<_>>::new();
        for (_, event) in &lines {
            ids.entry(&event.conversation).or_default().insert(event.event_id.clone());
        }
        let partitions: BTreeSet<_> =
            ids.keys().map(|conversation| self.mirror.partition_of(conversation)).collect();
        for partition in partitions {
            self.fresh.renew(&self.mirror, partition).await.map_err(unavailable)?;
        }
        let mut drafts = BTreeMap::new();
        for (conversation, ids) in ids {
            drafts.insert(conversation.clone(), Draft::new(self, conversation, ids).await?);
        }
        let mut entries = Vec::new();
        for (line, event) in lines {
            let Some(draft) = drafts.get_mut(&event.conversation) else { continue };
            if let Some(known) = draft.find(&event.event_id) {
                report.settle(line, known.is_again(&event.actor, event.body.type_name()));
                continue;
            }
            if !draft.has_target_of(self, &event).await? {
                report.refuse(line, Refusal::UnknownMessage);
                continue;
            }
            let creation = draft.create_if_new(importer, &event);
            entries.extend(creation.map(|event| Entry { line: None, event }));
            match draft.add(&event) {
                Ok(()) => entries.push(Entry { line: Some(line), event }),
                Err(Void::Against(refusal)) => report.refuse(line, refusal),
                Err(Void::Repeated(_)) => report.refuse(line, Refusal::IdTaken),
            }
        }
        Ok((drafts, entries))
    }

    /// Appends all in order: in one batch as far as that goes.
    async fn append_all(&self, entries: &[Entry]) -> Result<Vec<Place>, CommandError> {
        let codec = self.mirror.codec();
        let records: Vec<NewRecord> =
            entries.iter().map(|entry| record_of(codec, &entry.event)).collect::<Result<_, _>>()?;
        let mut places = Vec::with_capacity(records.len());
        for batch in records.chunks(BATCH_LEN_MAX) {
            let appended = append(self.mirror.log(), batch.to_vec()).await;
            places.extend(appended.map_err(|error| match error {
                CommandError::Unavailable { reason } if !places.is_empty() => unknown(reason),
                error => error,
            })?);
        }
        Ok(places)
    }

    /// Waits until all that was appended is folded here.
    async fn follow(&self, places: &[Place], moment: Instant) -> Result<(), CommandError> {
        let mut ends: BTreeMap<Partition, Position> = BTreeMap::new();
        for place in places {
            let end = ends.entry(place.partition).or_default();
            *end = place.offset.position().max(*end);
        }
        let deadline = Instant::now() + FOLD_MAX;
        for (partition, end) in ends {
            self.mirror.reach(partition, end, deadline).await.map_err(unknown)?;
            self.fresh.note(partition, moment);
        }
        Ok(())
    }
}

/// What the fold made of each entry: others may have written meanwhile.
fn conclude(
    drafts: &BTreeMap<ConversationId, Draft>,
    entries: &[Entry],
    places: &[Place],
    report: &mut ImportReport,
) -> Result<(), CommandError> {
    for (Entry { line, event }, place) in entries.iter().zip(places) {
        let (Some(line), Some(draft)) = (*line, drafts.get(&event.conversation)) else { continue };
        match verdict(draft.tracked(), &event.event_id, place.offset) {
            Verdict::Counts => report.added += 1,
            Verdict::Repeats(first) => {
                report.settle(line, first.is_again(&event.actor, event.body.type_name()));
            }
            Verdict::Against(refusal) => report.refuse(line, refusal),
            Verdict::Forgotten => return Err(unknown("this node is too busy to tell")),
        }
    }
    Ok(())
}
