//! Server-sent events, as `curl -N` reads them.

use kernel::testing::{created, posted};
use schemas::{
    Visibility,
    event::{ConversationCreated, MemberRemoved},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    time::{Duration, timeout},
};

use super::support::{Node, STREAMS_MAX, event_of};

const PATIENCE: Duration = Duration::from_secs(20);

/// One answer to a `GET`. Its body is chunked; the lines that tell of the chunks are passed over.
struct Stream {
    head: String,
    lines: Lines<BufReader<TcpStream>>,
}

/// What stands between two empty lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Block {
    event: String,
    id: String,
    data: String,
}

impl Stream {
    async fn open(node: &Node, user: &str, target: &str, headers: &str) -> Self {
        let mut socket = TcpStream::connect(node.address).await.unwrap();
        let request = format!(
            "GET /v1/conversations/{target} HTTP/1.1\r\nHost: {}\r\nX-User: {user}\r\n{headers}\r\n",
            node.address
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut stream = Self { head: String::new(), lines: BufReader::new(socket).lines() };
        loop {
            let line = stream.line().await.expect("a head");
            if line.is_empty() {
                return stream;
            }
            stream.head = format!("{}{line}\n", stream.head);
        }
    }

    async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time").unwrap_or(None)
    }

    /// The next block with something in it; `None` at the end.
    async fn next(&mut self) -> Option<Block> {
        let mut block = Block::default();
        loop {
            let line = self.line().await?;
            if line == "0" {
                return None;
            }
            match line.split_once(": ") {
                Some(("event", event)) => event.clone_into(&mut block.event),
                Some(("id", id)) => id.clone_into(&mut block.id),
                Some(("data", data)) => data.clone_into(&mut block.data),
                _ if line.is_empty() && block != Block::default() => return Some(block),
                // A chunk's length, or the end of one.
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_goes_on_where_it_was() {
    let node = Node::start().await;
    node.append(&created("tea")).await;
    let mut stream = Stream::open(&node, "ann", "tea/stream", "").await;
    assert!(stream.head.starts_with("HTTP/1.1 200"), "{}", stream.head);
    assert!(stream.head.contains("content-type: text/event-stream"), "{}", stream.head);
    let begun = stream.next().await.unwrap();
    assert!(begun.id.ends_with(":1") && begun.data.is_empty(), "{begun:?}");
    node.append(&posted("tea", "m-1", "ann")).await;
    let first = stream.next().await.unwrap();
    assert!(first.id.ends_with(":2") && first.data.contains("\"m-1\""), "{first:?}");
    drop(stream);
    for n in 2..500 {
        node.append(&posted("tea", &format!("m-{n}"), "ann")).await;
    }
    let mut stream =
        Stream::open(&node, "ann", "tea/stream", &format!("Last-Event-ID: {}\r\n", first.id)).await;
    for n in 2..500 {
        let next = stream.next().await.unwrap();
        assert!(next.data.contains(&format!("\"m-{n}\"")), "{n}: {next:?}");
    }
    node.append(&posted("tea", "live", "ann")).await;
    assert!(stream.next().await.unwrap().data.contains("\"live\""));
}

#[tokio::test]
async fn a_stream_begins_where_it_is_asked_to() {
    let node = Node::start().await;
    node.append(&created("tea")).await;
    node.append(&posted("tea", "m-1", "ann")).await;
    let mut all = Stream::open(&node, "ann", "tea/stream?from=0", "").await;
    assert!(all.next().await.unwrap().data.contains("ConversationCreated"));
    assert!(all.next().await.unwrap().data.contains("m-1"));
    let mut other = Stream::open(&node, "ann", "tea/stream?from=1&epoch=other", "").await;
    let lost = other.next().await.unwrap();
    assert_eq!(lost.event, "lost");
    assert!(lost.data.contains("\"offset\":2"), "{lost:?}");
    let mut other = Stream::open(&node, "ann", "tea/stream?from=0", "Last-Event-ID: other:1\r\n").await;
    assert_eq!(other.next().await.unwrap().event, "lost", "what was seen last counts, not the address");
}

#[tokio::test]
async fn the_name_in_the_address_may_be_encoded() {
    let node = Node::start().await;
    node.append(&created("team:general")).await;
    for target in
        ["team:general/stream?from=0", "team%3Ageneral/stream?from=0", "%74eam%3ageneral/stream?from=0"]
    {
        let mut stream = Stream::open(&node, "ann", target, "").await;
        assert!(stream.head.starts_with("HTTP/1.1 200"), "{target}: {}", stream.head);
        assert!(stream.next().await.unwrap().data.contains("ConversationCreated"), "{target}");
    }
}

#[tokio::test]
async fn who_may_not_read_or_asks_for_nonsense_is_refused() {
    let node = Node::start().await;
    let private = ConversationCreated { title: None, visibility: Visibility::Private, members: vec![] };
    node.append(&event_of("den", "created", "ann", private)).await;
    for (target, headers, status) in [
        ("den/stream", "", "403"),
        ("nowhere/stream", "", "404"),
        ("no%20id/stream", "", "400"),
        ("den%2Fden/stream", "", "400"),
        ("%FF/stream", "", "400"),
        ("den/stream?from=x", "", "400"),
        ("den/stream?before=3", "", "400"),
        ("den/stream", "Last-Event-ID: 3\r\n", "400"),
    ] {
        let stream = Stream::open(&node, "eve", target, headers).await;
        assert!(stream.head.starts_with(&format!("HTTP/1.1 {status}")), "{target}: {}", stream.head);
    }
}

#[tokio::test]
async fn whether_somebody_was_removed_is_said_as_by_the_other_questions() {
    let node = Node::start().await;
    for (name, visibility) in [("tea", Visibility::Open), ("den", Visibility::Private)] {
        let begun = ConversationCreated { title: None, visibility, members: vec!["bob".parse().unwrap()] };
        node.append(&event_of(name, "created", "ann", begun)).await;
        let removed = MemberRemoved { member: "bob".parse().unwrap() };
        node.append(&event_of(name, "removed", "ann", removed)).await;
    }
    for (name, user, code) in
        [("tea", "bob", "removed"), ("den", "bob", "removed"), ("den", "eve", "not_a_member")]
    {
        let mut stream = Stream::open(&node, user, &format!("{name}/stream"), "Connection: close\r\n").await;
        assert!(stream.head.starts_with("HTTP/1.1 403"), "{name}: {}", stream.head);
        let answer = stream.line().await.unwrap();
        assert!(answer.starts_with(&format!("{{\"code\":\"{code}\",")), "{user} in {name}: {answer}");
    }
}

#[tokio::test]
async fn somebody_removed_is_told_and_the_stream_ends() {
    let node = Node::start().await;
    let members = vec!["bob".parse().unwrap()];
    let private = ConversationCreated { title: None, visibility: Visibility::Private, members };
    node.append(&event_of("den", "created", "ann", private)).await;
    let mut stream = Stream::open(&node, "bob", "den/stream", "").await;
    stream.next().await.unwrap();
    let removed = MemberRemoved { member: "bob".parse().unwrap() };
    node.append(&event_of("den", "removed", "ann", removed)).await;
    node.append(&posted("den", "m-1", "ann")).await;
    assert!(stream.next().await.unwrap().data.contains("MemberRemoved"));
    assert_eq!(stream.next().await.unwrap().event, "end");
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn there_are_so_many_streams_at_the_most_and_whoever_goes_makes_room() {
    let node = Node::start().await;
    node.append(&created("tea")).await;
    for _ in 0..=STREAMS_MAX {
        let refused = Stream::open(&node, "ann", "nowhere/stream", "").await.head;
        assert!(refused.starts_with("HTTP/1.1 404"), "what is refused keeps no place: {refused}");
    }
    let mut streams = Vec::new();
    for number in 0..STREAMS_MAX {
        let stream = Stream::open(&node, "ann", "tea/stream", "").await;
        assert!(stream.head.starts_with("HTTP/1.1 200"), "stream {number}: {}", stream.head);
        streams.push(stream);
    }
    let one_more = Stream::open(&node, "ann", "tea/stream", "").await.head;
    assert!(one_more.starts_with("HTTP/1.1 503") && one_more.contains("retry-after: 1\n"), "{one_more}");
    // What else there is has its places.
    let mut session = node.client("ann").await;
    assert!(session.subscribe("tea", None).await["error"].is_null());
    streams.pop();
    let room = async {
        while !Stream::open(&node, "ann", "tea/stream", "").await.head.starts_with("HTTP/1.1 200") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, room).await.expect("its place is free in time");
}

#[tokio::test]
async fn a_node_that_stops_ends_its_streams() {
    let node = Node::start().await;
    node.append(&created("tea")).await;
    let mut stream = Stream::open(&node, "ann", "tea/stream", "").await;
    stream.next().await.unwrap();
    node.fanout.drain(Duration::from_millis(100)).await;
    assert_eq!(stream.next().await, None);
}
