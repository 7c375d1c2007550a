//! Log lines: as people read them, or one JSON object a line with the trace that was at work.

use std::{
    fmt,
    io::{self, IsTerminal},
};

use opentelemetry::{Context, trace::TraceContextExt};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    Layer,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Json, JsonFields, Writer, format},
    },
    registry::LookupSpan,
};

use super::LogFormat;

/// JSON lines with the ids of the recorded span that is at work.
struct Traced(Format<Json>);

/// Writes log lines to standard error.
pub(super) fn layer<S>(form: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match form {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => {
            let format = Traced(format().json().flatten_event(true));
            lines.fmt_fields(JsonFields::new()).event_format(format).boxed()
        }
    }
}

impl<S, N> FormatEvent<S, N> for Traced
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let trace = Context::current();
        let span = trace.span();
        let span = span.span_context();
        if !span.is_sampled() {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match line.trim_end().strip_suffix('}') {
            Some(open) => {
                let (trace, span) = (span.trace_id(), span.span_id());
                writeln!(writer, r#"{open},"trace_id":"{trace}","span_id":"{span}"}}"#)
            }
            None => writer.write_str(&line),
        }
    }
}

#[cfg(test)]
mod tests {
    use kernel::testing::lines::Lines;
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// The line that is written while a span with these flags is at work.
    fn line(flags: TraceFlags) -> serde_json::Value {
        let lines = Lines::default();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer({
                let lines = lines.clone();
                move || lines.clone()
            })
            .fmt_fields(JsonFields::new())
            .event_format(Traced(format().json().flatten_event(true)));
        let span = SpanContext::new(TraceId::from(7), SpanId::from(8), flags, true, TraceState::default());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let _at_work = Context::new().with_remote_span_context(span).attach();
            tracing::warn!(quoted = "a \"} b\n", "odd");
        });
        let text = lines.take();
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_line_names_the_trace_if_it_is_recorded() {
        let traced = line(TraceFlags::SAMPLED);
        assert_eq!(traced["trace_id"], "00000000000000000000000000000007");
        assert_eq!(traced["span_id"], "0000000000000008");
        assert_eq!((&traced["message"], &traced["quoted"]), (&"odd".into(), &"a \"} b\n".into()));
        assert!(line(TraceFlags::default()).get("trace_id").is_none());
    }
}
