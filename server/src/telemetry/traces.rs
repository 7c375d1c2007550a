//! Spans to a collector, and from the headers of a request to its trace.
//!
//! Batches go out on a thread of the exporter's own, with a blocking client: an async one would find no runtime there. A
//! collector that is away is told of once; its spans are lost, and nothing else.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use http::HeaderMap;
use kernel::{random, trace};
use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapCompositePropagator, TextMapPropagator},
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter},
};
use reqwest::Url;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::FilterFn, registry::LookupSpan};

/// How a collector knows us, unless `OTEL_SERVICE_NAME` says otherwise.
const SERVICE: &str = "tidings";
/// How long sending the last spans may take at the end.
const END_WAIT: Duration = Duration::from_secs(5);

/// An exporter that says when sending begins to fail, and when it works again.
#[derive(Debug)]
struct Telling {
    inner: OtlpExporter,
    failing: AtomicBool,
}

/// Sends the spans of `ratio` of all traces that begin here to the collector at `url`.
pub(super) fn provider(url: &Url, ratio: f64, role: &str) -> anyhow::Result<SdkTracerProvider> {
    let endpoint = format!("{}/v1/traces", url.as_str().trim_end_matches('/'));
    let inner = OtlpExporter::builder().with_http().with_endpoint(endpoint).build();
    let inner = inner.with_context(|| format!("cannot send traces to {url}"))?;
    let own = [
        KeyValue::new("service.instance.id", random::name(16)),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("tidings.role", role.to_owned()),
    ];
    let mut resource = Resource::builder().with_attributes(own);
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(SERVICE);
    }
    Ok(SdkTracerProvider::builder()
        .with_resource(resource.build())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
        .with_batch_exporter(Telling { inner, failing: AtomicBool::new(false) })
        .build())
}

/// Makes the spans of a trace, and no others, known to the provider.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let ours = FilterFn::new(|metadata| metadata.target() == trace::TARGET);
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SERVICE))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(ours.with_max_level_hint(LevelFilter::INFO))
}

/// Sends what is left.
pub(super) fn end(provider: &SdkTracerProvider) {
    if let Err(error) = provider.shutdown_with_timeout(END_WAIT) {
        tracing::warn!(%error, "the last traces were not sent");
    }
}

/// The trace that a request belongs to, if it says so and somebody takes traces: by W3C `traceparent`, or else by
/// Jaeger's `uber-trace-id`.
pub(crate) fn origin(headers: &HeaderMap) -> Option<Context> {
    static PROPAGATOR: LazyLock<TextMapCompositePropagator> = LazyLock::new(|| {
        // The last one that finds something counts.
        TextMapCompositePropagator::new(vec![Box::new(jaeger()), Box::new(TraceContextPropagator::new())])
    });
    if !trace::is_on() {
        return None;
    }
    let context = PROPAGATOR.extract_with_context(&Context::new(), &Headers(headers));
    context.span().span_context().is_valid().then_some(context)
}

#[expect(deprecated, reason = "its format is on the way out, but those who have it are to be understood")]
fn jaeger() -> opentelemetry_jaeger_propagator::Propagator {
    opentelemetry_jaeger_propagator::Propagator::new()
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

impl SpanExporter for Telling {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.inner.export(batch).await;
        let failed_before = self.failing.swap(sent.is_err(), Ordering::Relaxed);
        match &sent {
            Err(error) if !failed_before => {
                tracing::warn!(%error, spans, "traces cannot be sent and are lost until it works again");
            }
            Ok(()) if failed_before => tracing::info!("traces are sent again"),
            _ => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
