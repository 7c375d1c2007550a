//! One trace from a request to a socket and a row, as a collector gets it.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use tests::{Api, Collector, Observer, Server, collector::Span};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

/// Posts at the first server with this header, while somebody is subscribed at the last, and asks the last for the messages.
async fn post_traced(urls: &[String], token: &str, (name, value): (&str, &str)) -> anyhow::Result<()> {
    let (first, last) = (urls.first().context("a server")?, urls.last().context("a server")?);
    let ann = Api::new(first.clone(), token.to_owned())?;
    ann.create("tea").await?;
    let session = Observer::start(last, token, "tea");
    session.subscribed(1).await?;
    // It is live once it was sent what stands there.
    session.reached(1).await?;
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(15)).build()?;
    let post = http.post(format!("{first}/v1/conversations/tea/messages")).bearer_auth(token);
    let body = json!({"client_message_id": "m-1", "text": "a secret"});
    let answer = post.header(name, value).json(&body).send().await?;
    ensure!(answer.status() == 201, "{}", answer.status());
    session.reached(2).await?;
    let messages = Api::new(last.clone(), token.to_owned())?.messages("tea").await?;
    ensure!(messages.len() == 1, "{messages:?}");
    Ok(())
}

/// Checks that `spans` are one whole trace whose root hangs under `parent`.
fn is_whole(spans: &[Span], parent: &str) -> anyhow::Result<()> {
    let under = |parent: &Span, name: &str, kind: i32| {
        let children = spans.iter().filter(|span| span.parent == parent.id && span.name == name);
        let children: Vec<_> = children.collect();
        ensure!(!children.is_empty(), "no {name} under {}: {spans:#?}", parent.name);
        ensure!(children.iter().all(|span| span.kind == kind), "{children:#?}");
        Ok(children)
    };
    let roots: Vec<_> = spans.iter().filter(|span| span.parent == parent).collect();
    let [command] = roots.as_slice() else { anyhow::bail!("not one root: {spans:#?}") };
    ensure!(command.name == "command" && command.kind == SERVER, "{command:#?}");
    ensure!(command.field("conversation.id") == Some("tea"), "{command:#?}");
    ensure!(command.field("event.type") == Some("MessagePosted"), "{command:#?}");
    ensure!(command.field("outcome") == Some("ok"), "{command:#?}");
    let appends = under(command, "append", PRODUCER)?;
    let [append] = appends.as_slice() else { anyhow::bail!("not one append: {spans:#?}") };
    ensure!(append.field("offset") == Some("1"), "{append:#?}");
    let (mut delivered, mut projected) = (0, 0);
    for consume in under(append, "consume", CONSUMER)? {
        match consume.field("reader") {
            Some("mirror") => {
                for deliver in spans.iter().filter(|span| span.parent == consume.id) {
                    ensure!((deliver.name.as_str(), deliver.kind) == ("deliver", INTERNAL), "{deliver:#?}");
                    ensure!(deliver.field("sessions") == Some("1"), "{deliver:#?}");
                    ensure!(deliver.field("latency_ms").is_some(), "{deliver:#?}");
                    delivered += 1;
                }
            }
            Some("projector") => projected += under(consume, "project", INTERNAL)?.len(),
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
    let mut server = Server::start_with(&[&["--otlp-endpoint", &endpoint], options].concat()).await?;
    let token = server.token("ann").await?;
    post_traced(&[server.url()], &token, header).await?;
    let status = server.terminate().await?;
    ensure!(status.success(), "it ended with {status}:\n{}", server.log_tail());
    let spans = collector.of(TRACE);
    Ok((collector, spans))
}

#[tokio::test]
async fn one_post_is_one_trace_from_the_request_to_the_socket_and_the_row() -> anyhow::Result<()> {
    let header = format!("00-{TRACE}-{PARENT}-01");
    let (collector, spans) = traced_by(("traceparent", &header), &[]).await?;
    is_whole(&spans, PARENT)?;
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
    is_whole(&spans, PARENT)?;
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
