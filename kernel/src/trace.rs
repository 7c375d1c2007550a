//! One trace from a command to a socket and a row, over processes.
//!
//! ```text
//!   command -> append ~~ record header `traceparent` ~~> consume -> deliver   (mirror, shard)
//!                                                   \~~> consume -> project   (projector)
//! ```
//!
//! Invariants: spans of a trace have [`TARGET`], and exist only where somebody takes traces; without that, a record gets no header
//! and reading one costs a flag. Work for a single record is traced only if its trace is sampled. The
//! headers are those of W3C Trace Context, so that consumers of the topic in any language can go on with the trace.
//!
//! Not here: exporting, sampling, and what stands in the headers of HTTP. That is the server's.

use std::str::FromStr;

use bytes::Bytes;
use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceContextExt, TraceState},
};
use schemas::Partition;
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::event_log::{Header, Record};

/// The target of all spans that are part of a trace.
pub const TARGET: &str = "tidings::trace";
/// The header that names trace, span and flags.
pub const TRACEPARENT: &str = "traceparent";
/// The header with what tracing systems add of their own.
pub const TRACESTATE: &str = "tracestate";
/// How long a `traceparent` of version 00 is.
const TRACEPARENT_LEN: usize = 55;
/// The longest `tracestate` that is handed on; the standard asks for 512 at least.
const TRACESTATE_LEN_MAX: usize = 512;

/// A span of a sampled trace, perhaps of another process, under which the work goes on.
#[derive(Debug, Clone)]
pub struct Trace(Box<SpanContext>);

impl Trace {
    /// Where the record comes from. `None`: nobody takes traces here, or this one is not sampled.
    pub fn of_record(record: &Record) -> Option<Self> {
        if !is_on() {
            return None;
        }
        let context = span_context(&record.headers)?;
        context.is_sampled().then(|| Self(Box::new(context)))
    }

    /// The trace that `span` is part of, if it is sampled.
    pub fn of_span(span: &Span) -> Option<Self> {
        if span.is_disabled() {
            return None;
        }
        let context = span.context().span().span_context().clone();
        context.is_sampled().then(|| Self(Box::new(context)))
    }

    /// Makes `span`, which was just made and not entered yet, go on with this trace.
    pub fn adopt(&self, span: &Span) {
        // It fails where spans are only logged and not traced; then there is nothing to go on with.
        let _ = span.set_parent(Context::new().with_remote_span_context((*self.0).clone()));
    }
}

/// Whether anybody takes traces.
pub fn is_on() -> bool {
    tracing::span_enabled!(target: TARGET, Level::INFO)
}

/// The headers by which who reads a record goes on with the trace of `span`. None if nobody takes traces; a
/// trace that is not sampled is named too, with the flag that says so, or every reader would begin its own.
pub fn headers(span: &Span) -> Vec<Header> {
    if span.is_disabled() {
        return Vec::new();
    }
    let context = span.context();
    let span = context.span();
    let context = span.span_context();
    if !context.is_valid() {
        return Vec::new();
    }
    let flags = (context.trace_flags() & TraceFlags::SAMPLED).to_u8();
    let parent = format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id());
    let mut headers = vec![Header { name: TRACEPARENT.to_owned(), value: Bytes::from(parent) }];
    let state = context.trace_state().header();
    if !state.is_empty() && state.len() <= TRACESTATE_LEN_MAX {
        headers.push(Header { name: TRACESTATE.to_owned(), value: Bytes::from(state) });
    }
    headers
}

/// The span of a reader, named by `reader`, that takes this record. Disabled unless its trace is sampled.
pub fn consume(record: &Record, partition: Partition, reader: &'static str) -> Span {
    let Some(trace) = Trace::of_record(record) else { return Span::none() };
    let offset = record.offset.get();
    let span = tracing::info_span!(
        target: TARGET, parent: None, "consume",
        otel.kind = "consumer", reader, partition = partition.0, offset,
    );
    trace.adopt(&span);
    span
}

fn span_context(headers: &[Header]) -> Option<SpanContext> {
    let text = |name: &str| {
        let header = headers.iter().find(|header| header.name == name)?;
        std::str::from_utf8(&header.value).ok()
    };
    let (trace, span, flags) = parse(text(TRACEPARENT)?)?;
    // State that cannot be read does not spoil the trace: the standard says so.
    let state = text(TRACESTATE).and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
    let context = SpanContext::new(trace, span, flags, true, state);
    context.is_valid().then_some(context)
}

/// Reads a `traceparent`. Of versions that are not known yet, the part that will always be there is read.
fn parse(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (known, rest) = text.split_at_checked(TRACEPARENT_LEN)?;
    let mut parts = known.split('-');
    let mut hex = |len: usize| {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        parts.next().filter(|part| part.len() == len && part.bytes().all(is_hex))
    };
    let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let ends_well = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    if version == "ff" || !ends_well {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    Some((TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?, flags & TraceFlags::SAMPLED))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn header(name: &str, value: &str) -> Header {
        Header { name: name.to_owned(), value: Bytes::copy_from_slice(value.as_bytes()) }
    }

    fn read(parent: &str) -> Option<SpanContext> {
        span_context(&[header("event-type", "MessagePosted"), header(TRACEPARENT, parent)])
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        let context = read(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        assert_eq!(context.trace_id().to_string(), TRACE);
        assert_eq!(context.span_id().to_string(), SPAN);
        assert!(context.is_sampled() && context.is_remote());
        assert!(!read(&format!("00-{TRACE}-{SPAN}-00")).unwrap().is_sampled());
        // Other flags and later versions.
        assert!(read(&format!("00-{TRACE}-{SPAN}-03")).unwrap().is_sampled());
        assert!(read(&format!("01-{TRACE}-{SPAN}-01-more")).unwrap().is_sampled());
    }

    #[test]
    fn what_is_malformed_is_no_trace() {
        let zeros = |len: usize| "0".repeat(len);
        for parent in [
            String::new(),
            "00".to_owned(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01."),
            format!("01-{TRACE}-{SPAN}-01more"),
            format!("00-{}-{SPAN}-01", zeros(32)),
            format!("00-{TRACE}-{}-01", zeros(16)),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{SPAN}-0x"),
            format!("00-{}-{SPAN}a-01", &TRACE[1..]),
            format!("00-{}é-{SPAN}-01", &TRACE[2..]),
        ] {
            assert!(read(&parent).is_none(), "{parent}");
        }
        assert!(span_context(&[header("event-type", "MessagePosted")]).is_none());
    }

    #[test]
    fn the_state_goes_along_and_a_broken_one_does_no_harm() {
        let parent = format!("00-{TRACE}-{SPAN}-01");
        let read = |state| span_context(&[header(TRACEPARENT, &parent), header(TRACESTATE, state)]).unwrap();
        assert_eq!(read("rojo=00f067aa0ba902b7,congo=t61").trace_state().get("congo"), Some("t61"));
        assert_eq!(read("no state").trace_state().header(), "");
    }

    #[test]
    fn without_anybody_who_takes_traces_there_are_no_headers_and_no_spans() {
        let record = Record {
            offset: schemas::Offset::new(0),
            recorded_at: schemas::Timestamp::from_millis(0),
            key: Bytes::from_static(b"tea"),
            value: Bytes::new(),
            headers: [header(TRACEPARENT, &format!("00-{TRACE}-{SPAN}-01"))].into(),
        };
        assert!(!is_on() && Trace::of_record(&record).is_none());
        assert!(consume(&record, Partition(0), "test").is_disabled());
        let span = tracing::info_span!(target: TARGET, "append");
        assert!(headers(&span).is_empty() && Trace::of_span(&span).is_none());
    }
}
