//! One trace from a request to a socket and a row, as a collector gets it.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;
use tests::{Api, Collector, Observer, Server, collector::Span};

pub(crate) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
pub(crate) const PARENT: &str = "b7ad6b7169203331";
/// The post of these tests, where one process does everything.
const BY_ONE: Posted<'static> = Posted {
    parent: PARENT,
    offset: "1",
    taken_by: "ingest,fanout,store",
    delivered_by: "ingest,fanout,store",
    projected_by: "ingest,fanout,store",
};
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

/// A post, as it must be seen in the spans of its trace.
pub(crate) struct Posted<'a> {
    /// The span that its root hangs under; empty: none.
    pub(crate) parent: &'a str,
    /// Where its record stands.
    pub(crate) offset: &'a str,
    /// What the process does that took the command.
    pub(crate) taken_by: &'a str,
    /// That which delivers it.
    pub(crate) delivered_by: &'a str,
    /// That which projects it.
    pub(crate) projected_by: &'a str,
}

/// Posts at one server as part of a trace, and asks another for the messages until they tell it.
pub(crate) async fn post_traced(
    ingest: &str,
    store: &str,
    token: &str,
    (name, value): (&str, &str),
) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(15)).build()?;
    let post = http.post(format!("{ingest}/v1/conversations/tea/messages")).bearer_auth(token);
    let body = json!({"client_message_id": "m-1", "text": "a secret"});
    let answer = post.header(name, value).json(&body).send().await?;
    ensure!(answer.status() == 201, "{}", answer.status());
    let messages = Api::new(store.to_owned(), token.to_owned())?.messages("tea").await?;
    ensure!(messages.len() == 1, "{messages:?}");
    Ok(())
}

/// Creates the conversation at one server, and gives a session at another that has seen it.
pub(crate) async fn tea(ingest: &str, fanout: &str, token: &str) -> anyhow::Result<Observer> {
    Api::new(ingest.to_owned(), token.to_owned())?.create("tea").await?;
    let session = Observer::start(fanout, token, "tea");
    session.subscribed(1).await?;
    // It is live once it was sent what stands there.
    session.reached(1).await?;
    Ok(session)
}

/// Checks that `spans` are the one whole trace of a post.
pub(crate) fn is_whole(spans: &[Span], posted: &Posted<'_>) -> anyhow::Result<()> {
    let under = |parent: &Span, name: &str, kind: i32| {
        let children = spans.iter().filter(|span| span.parent == parent.id && span.name == name);
        let children: Vec<_> = children.collect();
        ensure!(!children.is_empty(), "no {name} under {}: {spans:#?}", parent.name);
        ensure!(children.iter().all(|span| span.kind == kind), "{children:#?}");
        Ok(children)
    };
    let roots: Vec<_> = spans.iter().filter(|span| span.parent == posted.parent).collect();
    let [command] = roots.as_slice() else { anyhow::bail!("not one root: {spans:#?}") };
    ensure!(command.name == "command" && command.kind == SERVER, "{command:#?}");
    ensure!(command.field("conversation.id") == Some("tea"), "{command:#?}");
    ensure!(command.field("event.type") == Some("MessagePosted"), "{command:#?}");
    ensure!(command.field("outcome") == Some("ok"), "{command:#?}");
    let appends = under(command, "append", PRODUCER)?;
    let [append] = appends.as_slice() else { anyhow::bail!("not one append: {spans:#?}") };
    ensure!(append.field("offset") == Some(posted.offset), "{append:#?}");
    ensure!(command.role == posted.taken_by && append.role == posted.taken_by, "{spans:#?}");
    let (mut delivered, mut projected) = (0, 0);
    for consume in under(append, "consume", CONSUMER)? {
        match consume.field("reader") {
            Some("mirror") => {
                for deliver in spans.iter().filter(|span| span.parent == consume.id) {
                    ensure!((deliver.name.as_str(), deliver.kind) == ("deliver", INTERNAL), "{deliver:#?}");
                    ensure!(deliver.field("sessions") == Some("1"), "{deliver:#?}");
                    ensure!(deliver.field("latency_ms").is_some(), "{deliver:#?}");
                    let role = posted.delivered_by;
                    ensure!(consume.role == role && deliver.role == role, "{spans:#?}");
                    delivered += 1;
                }
            }
            Some("projector") => {
                let projects = under(consume, "project", INTERNAL)?;
                let role = posted.projected_by;
                ensure!(consume.role == role && projects.iter().all(|span| span.role == role), "{spans:#?}");
                projected += projects.len();
            }
            other => anyhow::bail!("who is {other:?}? {spans:#?}"),
        }
    }
    ensure!((delivered, projected) == (1, 1), "{spans:#?}");
    ensure!(spans.iter().all(|span| span.service == "tidings" && !span.instance.is_empty()), "{spans:#?}");
    // What people write is nobody's business here.
    ensure!(!format!("{spans:?}").contains("secret"), "{spans:#?}");
    Ok(())
}

/// What the collector has of the trace after the server was told to end, which sends the rest.
async fn traced_by(header: (&str, &str), options: &[&str]) -> anyhow::Result<(Collector, Vec<Span>)> {
    let collector = Collector::start().await?;
    let endpoint = collector.url();
    let mut server = Server::start_with(&[&["--otlp-endpoint", &endpoint][..], options].concat()).await?;
    let token = server.token("ann").await?;
    let url = server.url();
    let session = tea(&url, &url, &token).await?;
    post_traced(&url, &url, &token, header).await?;
    session.reached(2).await?;
    let status = server.terminate().await?;
    ensure!(status.success(), "it ended with {status}:\n{}", server.log_tail());
    let spans = collector.of(TRACE);
    Ok((collector, spans))
}

#[tokio::test]
async fn one_post_is_one_trace_from_the_request_to_the_socket_and_the_row() -> anyhow::Result<()> {
    let header = format!("00-{TRACE}-{PARENT}-01");
    let (collector, spans) = traced_by(("traceparent", &header), &[]).await?;
    is_whole(&spans, &BY_ONE)?;
    // What came over no trace began its own.
    let own =
        collector.all().into_iter().find(|span| span.field("event.type") == Some("ConversationCreated"));
    ensure!(own.is_some_and(|span| span.parent.is_empty() && span.trace != TRACE), "{:#?}", collector.all());
    Ok(())
}

#[tokio::test]
async fn the_header_of_jaeger_is_understood_too() -> anyhow::Result<()> {
    // Own traces are not sampled; this one is, because its beginning was.
    let header = format!("{TRACE}:{PARENT}:0:1");
    let (collector, spans) = traced_by(("uber-trace-id", &header), &["--trace-ratio", "0"]).await?;
    is_whole(&spans, &BY_ONE)?;
    ensure!(collector.all().len() == spans.len(), "others were sampled: {:#?}", collector.all());
    Ok(())
}

#[tokio::test]
async fn a_trace_that_is_not_sampled_stays_so() -> anyhow::Result<()> {
    let header = format!("00-{TRACE}-{PARENT}-00");
    let (_collector, spans) = traced_by(("traceparent", &header), &[]).await?;
    ensure!(spans.is_empty(), "{spans:#?}");
    Ok(())
}
