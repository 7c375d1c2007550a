//! What a program costs that sends no traces. A program of its own, since what is told is decided once for a process.

use kernel::trace;
use server::telemetry::{SERVER, Settings, start};

#[test]
fn without_a_collector_there_are_no_spans() -> anyhow::Result<()> {
    let _telemetry = start(&Settings::default(), SERVER, "ingest")?;
    assert!(!trace::is_on(), "records are looked through");
    let span = tracing::info_span!(target: trace::TARGET, "append");
    assert!(span.is_disabled(), "a span is made");
    // So that this is not for want of logs.
    assert!(tracing::event_enabled!(target: "server", tracing::Level::INFO), "nothing is logged");
    Ok(())
}
