//! What is told to those who run the server: logs, traces, metrics.
//!
//! - `logs`: to standard error, so that standard output belongs to results;
//! - `traces`: spans to a collector, and how a request says which trace it belongs to;
//! - `metrics`: what the kernel's list counts, as Prometheus text.
//!
//! Invariant: all of it is off the threads that serve, and a collector that is away costs nothing but its spans.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use opentelemetry_sdk::trace::SdkTracerProvider;
use reqwest::Url;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

mod logs;
pub(crate) mod metrics;
mod process;
pub(crate) mod traces;

/// What a server says when nothing else is chosen: warnings, and what its own parts tell. Of the CQL driver only
/// errors: it hands on the servers' advice against batches over partitions, which are meant, and repeats it with every batch.
pub const SERVER: &str = "warn,scylla=error,server=info,ingest=info,fanout=info,store=info,kernel=info";
/// What a command says: what goes wrong in a server within its process. Its results speak for the rest.
pub const COMMAND: &str = "error";

/// What the operator decides about it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Seen from outside")]
pub struct Settings {
    /// Send traces to this OpenTelemetry collector, by HTTP; Jaeger takes them at port 4318
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_parser = endpoint)]
    pub otlp_endpoint: Option<Url>,
    /// Which part of the traces that begin here is sent, from 0 to 1
    #[arg(long, value_name = "RATIO", env = "OTEL_TRACES_SAMPLER_ARG", default_value_t = 1.0, value_parser = ratio)]
    pub trace_ratio: f64,
    /// How logs are written
    #[arg(long, value_enum, value_name = "FORMAT", env = "TIDINGS_LOG_FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Serve /metrics at this address, with /livez and /readyz, instead of beside everything else
    #[arg(long, value_name = "ADDR", env = "TIDINGS_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line, for programs.
    Json,
}

/// What is to be ended in order.
#[derive(Debug)]
#[must_use = "what is not sent yet is lost without `end`"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { otlp_endpoint: None, trace_ratio: 1.0, log_format: LogFormat::Text, metrics_listen: None }
    }
}

/// Begins logging and tracing. `TIDINGS_LOG` chooses what is logged (`debug`, `fanout=debug,info`); without it, `default` does.
/// `role` is what this process does, as a collector is told. Not to be called on a thread of a runtime.
///
/// # Errors
/// Traces cannot be sent as the settings say.
pub fn start(settings: &Settings, default: &str, role: &str) -> anyhow::Result<Telemetry> {
    let filter = EnvFilter::try_from_env("TIDINGS_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let endpoint = settings.otlp_endpoint.as_ref();
    let traces = endpoint.map(|url| traces::provider(url, settings.trace_ratio, role)).transpose()?;
    let logged = tracing_subscriber::registry().with(logs::layer(settings.log_format).with_filter(filter));
    // Only a test that starts twice in one process gets an error here, and its first start holds.
    let _ = match &traces {
        Some(provider) => logged.with(traces::layer(provider)).try_init(),
        // Not a layer that is `None`: it has no filter, so spans would be made for it.
        None => logged.try_init(),
    };
    Ok(Telemetry { traces })
}

impl Telemetry {
    /// Sends what was not sent yet, for a bounded time. Not to be called on a thread of a runtime.
    pub fn end(self) {
        if let Some(traces) = self.traces {
            traces::end(&traces);
        }
    }
}

fn endpoint(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}; write it like http://127.0.0.1:4318"))?;
    if url.scheme() != "http" || !url.has_host() {
        // A collector that needs TLS is reached through one beside the server, as collectors are run anyway.
        return Err("only http is spoken to a collector; write it like http://127.0.0.1:4318".to_owned());
    }
    Ok(url)
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "a number from 0 to 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        assert!(endpoint("http://127.0.0.1:4318").is_ok());
        for wrong in ["", "127.0.0.1:4318", "https://collector.example", "file:///x"] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
        assert_eq!(ratio("0.25"), Ok(0.25));
        for wrong in ["", "-1", "1.01", "NaN", "all"] {
            assert!(ratio(wrong).is_err(), "{wrong}");
        }
    }
}
