//! What of the protocol there is in a stream of server-sent events (WHATWG HTML, 9.2.6): events with their ids, and whether it ends for good.
//!
//! ```text
//! id: k7:4711
//! data: {"type":"MessagePosted",…}
//!
//! event: end
//! data: {"code":2000,"reason":"…"}
//! ```
//!
//! An `id` without data is dispatched to nobody and kept by the client all the same.

use std::io::Write;

use kernel::mirror::LiveEvent;
use schemas::Epoch;
use serde::Serialize;

use super::{Reply, SubscribeResult, Unsubscribe};

/// The ping: a comment.
pub(super) const PING: &[u8] = b":\n\n";

/// Adds an event of the conversation.
pub(super) fn put_event(out: &mut Vec<u8>, epoch: &Epoch, event: &LiveEvent) {
    put(out, epoch.as_str(), event.position.get(), event.json());
}

/// Adds what a reply says to somebody who cannot ask anything; mostly nothing.
pub(super) fn put_reply(out: &mut Vec<u8>, reply: &Reply) {
    if let Some(result) = &reply.subscribe {
        put_beginning(out, result);
    }
    let end = reply.push.as_ref().and_then(|push| push.unsubscribe.as_ref());
    // Where the client is to come back, the stream is only cut, and it does.
    if let Some(end) = end.filter(|end| end.code < Unsubscribe::AGAIN_FROM) {
        put_named(out, "end", end);
    }
}

/// Where the stream begins. What is resumed from a position of another log is told so.
fn put_beginning(out: &mut Vec<u8>, result: &SubscribeResult) {
    if result.was_recovering && !result.recovered {
        put_named(out, "lost", &Lost { epoch: &result.epoch, offset: result.offset });
    }
    for publication in &result.publications {
        put(out, &result.epoch, publication.offset, &publication.data);
    }
    // So that a stream that is cut before its first event can be resumed too. Behind events it would lead back.
    if result.publications.is_empty() {
        write(out, format_args!("id: {}:{}\n\n", result.epoch, result.offset));
    }
}

#[derive(Serialize)]
struct Lost<'a> {
    epoch: &'a str,
    offset: u64,
}

fn put(out: &mut Vec<u8>, epoch: &str, offset: u64, json: &[u8]) {
    write(out, format_args!("id: {epoch}:{offset}\ndata: "));
    // One line: line breaks in texts are escaped.
    out.extend_from_slice(json);
    out.extend_from_slice(b"\n\n");
}

fn put_named(out: &mut Vec<u8>, name: &str, data: &impl Serialize) {
    write(out, format_args!("event: {name}\ndata: "));
    serde_json::to_writer(&mut *out, data).unwrap_or_default();
    out.extend_from_slice(b"\n\n");
}

/// A vector takes everything.
fn write(out: &mut Vec<u8>, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Push;

    #[test]
    fn who_is_to_come_back_is_not_told_of_an_end() {
        let told = |why| {
            let mut out = Vec::new();
            put_reply(&mut out, &Reply::of(Push::unsubscribe("tea", why)));
            String::from_utf8(out).unwrap()
        };
        let for_good = told(Unsubscribe::NOT_ALLOWED);
        assert!(for_good.starts_with("event: end\ndata: {\"code\":2000,"), "{for_good}");
        for why in [Unsubscribe::INSUFFICIENT_STATE, Unsubscribe::EXPIRED] {
            assert_eq!(told(why), "");
        }
    }
}
