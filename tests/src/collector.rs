//! A collector of traces: takes what OpenTelemetry exporters send over HTTP with protobuf, and keeps the spans.

use anyhow::{Context, ensure};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{KeyValue, any_value::Value},
    trace::v1::ResourceSpans,
};
use prost::Message;
use tokio::{sync::watch, time::timeout};

use crate::{
    http::{Listening, Request, Response},
    wait::SOON,
};

const PROTOBUF: &str = "application/x-protobuf";

/// See the module. Ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    listening: Listening,
    spans: watch::Receiver<Vec<Span>>,
}

/// A span as the tests look at it; ids in hex, as they stand in headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The service that it came from (`service.name`).
    pub service: String,
    /// Which process of it (`service.instance.id`).
    pub instance: String,
    /// What that process does (`tidings.role`).
    pub role: String,
    /// The trace it is part of.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// The id of the span it belongs under; empty at the root.
    pub parent: String,
    /// What it is.
    pub name: String,
    /// As OpenTelemetry numbers them: 1 internal, 2 server, 4 producer, 5 consumer.
    pub kind: i32,
    /// Its fields, as text.
    pub fields: Vec<(String, String)>,
}

impl Collector {
    /// Listens on a free port.
    ///
    /// # Errors
    /// There is none.
    pub async fn start() -> anyhow::Result<Self> {
        let (sender, spans) = watch::channel(Vec::new());
        let listening = Listening::start(move |request| {
            let taken = take(&request, &sender);
            async move { taken }
        });
        Ok(Self { listening: listening.await?, spans })
    }

    /// What `--otlp-endpoint` is to say.
    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// The spans of a trace so far.
    pub fn of(&self, trace: &str) -> Vec<Span> {
        self.spans.borrow().iter().filter(|span| span.trace == trace).cloned().collect()
    }

    /// Everything so far.
    pub fn all(&self) -> Vec<Span> {
        self.spans.borrow().clone()
    }

    /// Waits until the spans of a trace are `enough`.
    ///
    /// # Errors
    /// They are not in time; it says which there are.
    pub async fn until(&self, trace: &str, enough: impl Fn(&[Span]) -> bool) -> anyhow::Result<Vec<Span>> {
        let mut spans = self.spans.clone();
        let of =
            |all: &[Span]| -> Vec<Span> { all.iter().filter(|span| span.trace == trace).cloned().collect() };
        let found = timeout(SOON, spans.wait_for(|all| enough(&of(all)))).await.is_ok();
        ensure!(found, "waited in vain for a whole trace {trace}; there is {:#?}", self.of(trace));
        Ok(self.of(trace))
    }
}

impl Span {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

fn take(request: &Request, spans: &watch::Sender<Vec<Span>>) -> anyhow::Result<Response> {
    let Request { line, content_type, body } = request;
    ensure!(line == "POST /v1/traces" && content_type == PROTOBUF, "no export: {line}, {content_type}");
    let export = ExportTraceServiceRequest::decode(body.as_slice()).context("no spans")?;
    let came = export.resource_spans.iter().flat_map(read);
    spans.send_modify(|spans| spans.extend(came));
    let body = ExportTraceServiceResponse::default().encode_to_vec();
    Ok(Response { status: "200 OK", content_type: PROTOBUF, body })
}

fn read(group: &ResourceSpans) -> Vec<Span> {
    let about = group.resource.as_ref().map(|resource| fields(&resource.attributes)).unwrap_or_default();
    let of =
        |name: &str| about.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value).to_owned();
    let (service, instance, role) = (of("service.name"), of("service.instance.id"), of("tidings.role"));
    let spans = group.scope_spans.iter().flat_map(|scope| &scope.spans);
    let read = |span: &opentelemetry_proto::tonic::trace::v1::Span| Span {
        service: service.clone(),
        instance: instance.clone(),
        role: role.clone(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name.clone(),
        kind: span.kind,
        fields: fields(&span.attributes),
    };
    spans.map(read).collect()
}

fn fields(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let value = |pair: &KeyValue| pair.value.as_ref()?.value.as_ref().map(text);
    attributes.iter().filter_map(|pair| Some((pair.key.clone(), value(pair)?))).collect()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
