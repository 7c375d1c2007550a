//! The clients of the simulation: each notes the positions that it was sent, and comes back with the last.

use std::{collections::BTreeMap, rc::Rc};

use super::{CONVERSATIONS, Node, Pipe};
use crate::{protocol::Disconnect, session::Session};

/// What a client has seen of a conversation.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    /// Where it began; `None`: it never had a reply.
    pub(super) base: Option<u64>,
    /// The positions of the events, as they came.
    pub(super) offsets: Vec<u64>,
}

/// One client, with what it has seen of each conversation.
pub(super) struct Client {
    pub(super) seen: BTreeMap<&'static str, Seen>,
    pub(super) connection: Option<Connection>,
    pub(super) connections: usize,
}

pub(super) struct Connection {
    pub(super) node: usize,
    pub(super) session: Rc<Session>,
    pub(super) pipe: Rc<Pipe>,
    /// Bytes that are no whole frame yet.
    pub(super) rest: Vec<u8>,
}

impl Client {
    pub(super) fn new() -> Self {
        let seen = CONVERSATIONS.iter().map(|name| (*name, Seen::default())).collect();
        Self { seen, connection: None, connections: 0 }
    }

    /// Takes everything that arrived and notes the positions. A client that is told to try again comes back later.
    pub(super) fn read(&mut self, nodes: &[Node]) {
        let Some(Connection { pipe, rest, .. }) = &mut self.connection else { return };
        let mut again = false;
        rest.append(&mut pipe.bytes.borrow_mut());
        while let Some((payload, len)) = frame(rest) {
            for line in payload.lines() {
                let message: serde_json::Value = serde_json::from_str(line).unwrap();
                again |= take(&mut self.seen, &message);
            }
            rest.drain(..len);
        }
        if again {
            self.disconnect(nodes);
        }
    }

    /// The position that it comes back with; `None`: it has none yet.
    pub(super) fn position(&self, conversation: &str) -> Option<u64> {
        let seen = &self.seen[conversation];
        seen.offsets.last().copied().or(seen.base)
    }

    pub(super) fn disconnect(&mut self, nodes: &[Node]) {
        if let Some(Connection { node, session, .. }) = self.connection.take() {
            session.end(Disconnect::NORMAL);
            nodes[node].shard.dismiss(&session);
        }
    }
}

impl Seen {
    /// Notes where a subscription begins, and what came with it.
    fn subscribed(&mut self, result: &serde_json::Value) {
        let offset = result["offset"].as_u64().unwrap_or_default();
        let begins = result["was_recovering"].is_null();
        self.base = self.base.or(Some(if begins { offset } else { 0 }));
        let publications = result["publications"].as_array().into_iter().flatten();
        self.offsets.extend(publications.map(|publication| publication["offset"].as_u64().unwrap()));
    }
}

/// Notes the positions in a message; says whether it tells the client to subscribe again.
fn take(seen: &mut BTreeMap<&'static str, Seen>, message: &serde_json::Value) -> bool {
    let name = |channel: &serde_json::Value| *CONVERSATIONS.iter().find(|name| channel == **name).unwrap();
    let push = &message["push"];
    if !push["pub"].is_null() {
        let offset = push["pub"]["offset"].as_u64().unwrap();
        seen.get_mut(name(&push["channel"])).unwrap().offsets.push(offset);
    }
    if !message["subscribe"].is_null() {
        // The commands of a connection have the ids 1, 2, in the order of the conversations.
        let conversation = CONVERSATIONS[usize::try_from(message["id"].as_u64().unwrap()).unwrap() - 1];
        seen.get_mut(conversation).unwrap().subscribed(&message["subscribe"]);
    }
    for (channel, result) in message["connect"]["subs"].as_object().into_iter().flatten() {
        seen.get_mut(channel.as_str()).unwrap().subscribed(result);
    }
    let (error, unsubscribe) = (&message["error"], &push["unsubscribe"]);
    assert!(error.is_null() || error["temporary"] == true, "{message}");
    assert!(unsubscribe.is_null() || unsubscribe["code"] == 2500, "{message}");
    !error.is_null() || !unsubscribe.is_null()
}

/// The payload of the first frame, and its length with the header.
fn frame(bytes: &[u8]) -> Option<(String, usize)> {
    let (len, header) = match *bytes {
        [_, 126, a, b, ..] => (usize::from(u16::from_be_bytes([a, b])), 4),
        [_, 127, ..] => {
            let len = bytes.get(2..10)?.try_into().unwrap();
            (usize::try_from(u64::from_be_bytes(len)).unwrap(), 10)
        }
        [_, len, ..] if len < 126 => (usize::from(len), 2),
        _ => return None,
    };
    let payload = bytes.get(header..header + len)?;
    Some((String::from_utf8(payload.to_vec()).unwrap(), header + len))
}
