//! Proof by strangers: programs that know Kafka, Avro and a schema registry, and nothing of Tidings, read the topic.
//!
//! Confluent's Python client decodes every record, Java's console consumer says what stands beside the values, and the
//! example of `examples/analytics` counts. Each is compared with what the HTTP interface says.

#![expect(clippy::indexing_slicing, reason = "test code: a panic is how a test fails")]

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde_json::Value;
use tests::{Api, Registry, Talker, registry, tools, tools::Kit, wait::until};

mod console;
mod counted;
mod site;
mod talk;

use console::Console;
use counted::Counts;
use site::Site;

/// The folder of the example, whose packages the script beside this file uses too.
const EXAMPLE: &str = "../examples/analytics";
const EXAMPLE_SCRIPT: &str = "messages_per_hour.py";
const READ_SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/analytics/read.py");

/// An event, wherever it was read, in one form.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    /// The record's offset + 1.
    offset: u64,
    recorded_at_ms: i64,
    event: Value,
}

#[tokio::test]
async fn a_stranger_reads_what_the_interface_says() -> anyhow::Result<()> {
    let Some((site, kit)) = stage("the Python consumer", &[]).await? else { return Ok(()) };
    let ann = site.server().api("ann").await?;
    talk::talk(&site).await?;

    let decoded = decoded(&site, &kit).await?;
    let by_key = by_key(&decoded)?;
    ensure!(by_key.len() == talk::CONVERSATIONS.len(), "other keys: {:?}", by_key.keys());
    for (conversation, seen) in &by_key {
        let told = told(&ann, conversation).await?;
        ensure!(!told.is_empty(), "{conversation} is empty");
        let differ = told.iter().zip(seen).find(|(told, seen)| told != seen);
        ensure!(told == *seen, "{conversation}: {} told, {} seen, {differ:#?}", told.len(), seen.len());
    }

    let Some(console) = Console::of("Java's console consumer").await? else { return Ok(()) };
    let beside = console.read(site.brokers(), &site.topic(), decoded.len()).await?;
    let mut expected = decoded.iter().map(console::Line::of).collect::<anyhow::Result<Vec<_>>>()?;
    expected.sort();
    ensure!(beside.in_order(), "offsets of a partition do not rise");
    ensure!(beside.sorted() == expected, "keys, headers or places differ");
    Ok(())
}

#[tokio::test]
async fn the_example_counts_what_was_posted() -> anyhow::Result<()> {
    let Some((site, kit)) = stage("the analytics example", &[]).await? else { return Ok(()) };
    let mut expected = Counts::default();
    for archive in counted::archives(site.server().folder())? {
        site.import(&archive).await?;
        expected.add(&archive)?;
    }
    let arguments = [
        "--brokers",
        site.brokers(),
        "--registry",
        &site.server().url(),
        "--topic",
        &site.topic(),
        "--format",
        "csv",
    ];
    let printed = kit.print(EXAMPLE_SCRIPT, &arguments).await?;
    let counts = Counts::read(&printed)?;
    ensure!(counts == expected, "counted {counts:#?}\nposted {expected:#?}");
    let table = kit.print(EXAMPLE_SCRIPT, &arguments[..6]).await?;
    ensure!(table.lines().count() == printed.lines().count(), "the table has other rows:\n{table}");
    Ok(())
}

#[tokio::test]
async fn records_carry_the_ids_that_another_registry_gave() -> anyhow::Result<()> {
    let registry = Registry::start().await?;
    let options = ["--schema-registry", &registry.url()];
    let Some((site, kit)) = stage("the Python consumer of registered ids", &options).await? else {
        return Ok(());
    };
    talk::talk(&site).await?;

    let given = registry.registered().await;
    let subject = format!("{}-value", site.topic());
    let of_events = |one: &registry::Registered| one.subject == subject;
    let newest = given.iter().rposition(of_events).context("no schema of events was registered")?;
    let id = registry::FIRST_ID + u32::try_from(newest)?;
    let newest = &given[newest];
    ensure!(given.iter().any(|one| !of_events(one)), "no schema of signals was registered: {given:#?}");
    // It asks our registry for the schema of each record, so that one knows the ids of the other.
    let decoded = decoded(&site, &kit).await?;
    let other = decoded.iter().find(|record| record["schema_id"] != id);
    ensure!(!decoded.is_empty() && other.is_none(), "not all carry {id}: {other:?}");
    let url = format!("{}/schemas/ids/{id}", site.server().url());
    let answer = reqwest::Client::builder().no_proxy().build()?.get(url).send().await?;
    let told: Value = answer.error_for_status()?.json().await?;
    ensure!(told["schema"] == newest.schema, "{told} is not {}", newest.schema);

    let verdict = site.verify().await?;
    ensure!(verdict.contains("same") && !verdict.contains("DIFFERENT"), "{verdict}");
    // Who does not ask the registry cannot read the records.
    let plainly = site.verify_plainly().await;
    ensure!(plainly.is_err(), "without the registry: {plainly:?}");
    Ok(())
}

#[tokio::test]
async fn a_stranger_reads_who_came_and_who_types() -> anyhow::Result<()> {
    let Some((site, kit)) = stage("the Python consumer of signals", &[]).await? else { return Ok(()) };
    let server = site.server();
    server.api("ann").await?.create("tea").await?;
    let mut ann = Talker::connect(&server.url(), &server.token("ann").await?).await?;
    ann.subscribe("tea").await?;
    ann.rpc("typing.start", serde_json::json!({"conversation": "tea"})).await?;

    let topic = site.signals_topic();
    let signals = until("the signals", async || {
        let signals = read(&site, &kit, &topic).await?.1;
        Ok(signals.iter().any(|signal| signal["event"]["type"] == "Typing").then_some(signals))
    });
    let signals = signals.await?;
    let of = |kind: &str| signals.iter().find(|signal| signal["event"]["type"] == kind);
    let (came, typing) = (of("Came").context("nobody came")?, of("Typing").context("nobody types")?);
    ensure!(came["key"] == "tea" && typing["key"] == "tea", "other keys: {came} {typing}");
    let body = &typing["event"]["body"];
    ensure!(body["typing"] == true && body["session"]["user"] == "ann", "{typing}");
    ensure!(body["session"] == came["event"]["body"]["session"], "another session: {came} {typing}");
    Ok(())
}

/// A server on Kafka, and Python with Confluent's client. `None`: the test is skipped.
async fn stage(test: &str, options: &[&str]) -> anyhow::Result<Option<(Site, Kit)>> {
    let Some(kit) = tools::python(test, &[EXAMPLE]).await? else { return Ok(None) };
    Ok(Site::start(test, options).await?.map(|site| (site, kit)))
}

/// Every record of the topic, as Confluent's client decodes it.
async fn decoded(site: &Site, kit: &Kit) -> anyhow::Result<Vec<Value>> {
    let (latest, records) = read(site, kit, &site.topic()).await?;
    for record in &records {
        ensure!(record["schema_id"] == latest, "not written with the newest schema: {record}");
        let event = &record["event"];
        ensure!(record["key"] == event["conversation"], "the key is another conversation: {record}");
        let headers: Vec<(String, String)> = serde_json::from_value(record["headers"].clone())?;
        let headers: BTreeMap<_, _> = headers.into_iter().collect();
        let header = |name: &str| headers.get(name).map(String::as_str);
        ensure!(header("event-type") == event["type"].as_str(), "event-type: {record}");
        ensure!(header("event-id") == event["event_id"].as_str(), "event-id: {record}");
        ensure!(header("content-type") == Some("application/vnd.confluent.avro"), "content-type: {record}");
    }
    Ok(records)
}

/// The newest schema's id and every record of a topic, as Confluent's client decodes it.
async fn read(site: &Site, kit: &Kit, topic: &str) -> anyhow::Result<(Value, Vec<Value>)> {
    let url = site.server().url();
    let settings = [("BROKERS", site.brokers()), ("REGISTRY", &url), ("TOPIC", topic)];
    let mut result = kit.run(READ_SCRIPT, &settings).await?;
    let latest = result["latest"].clone();
    Ok((latest, serde_json::from_value(result["records"].take())?))
}

/// The events of each key, in the order of the topic.
fn by_key(records: &[Value]) -> anyhow::Result<BTreeMap<String, Vec<Seen>>> {
    let mut by_key: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for record in records {
        let key = record["key"].as_str().context("no key")?;
        let seen = Seen {
            offset: record["offset"].as_u64().context("no offset")? + 1,
            recorded_at_ms: record["recorded_at"].as_i64().context("no time")?,
            event: record["event"].clone(),
        };
        by_key.entry(key.to_owned()).or_default().push(seen);
    }
    Ok(by_key)
}

/// The events of a conversation as the interface tells them, in the same form.
async fn told(api: &Api, conversation: &str) -> anyhow::Result<Vec<Seen>> {
    let events = api.events(conversation).await?;
    events
        .iter()
        .map(|line| {
            let mut event: Value = serde_json::from_str(&line.json)?;
            let fields = event.as_object_mut().context("no object")?;
            fields.remove("offset");
            let recorded_at = fields.remove("recorded_at").unwrap_or_default();
            let occurred_at = counted::millis(&event["occurred_at"])?;
            event["occurred_at"] = occurred_at.into();
            Ok(Seen { offset: line.offset, recorded_at_ms: counted::millis(&recorded_at)?, event })
        })
        .collect()
}
