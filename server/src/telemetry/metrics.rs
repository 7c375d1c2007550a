//! The recorder behind the kernel's list of metrics, and its Prometheus text.
//!
//! There is one for the process, as handles are of the process. It must be there before anything takes a handle.

use std::{sync::OnceLock, time::Duration};

use http::{HeaderValue, header};
use kernel::metric::{self, Kind};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{task::JoinHandle, time::interval};
use warp::{Filter, filters::BoxedFilter, reply::Response};

use super::process;

/// How often observations are put into their buckets, so that they do not pile up where nobody asks.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Sets the recorder up, the first time it is called. `None`: the program has another one.
pub(crate) fn install() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE.get_or_init(begin).as_ref()
}

fn begin() -> Option<PrometheusHandle> {
    let mut builder = PrometheusBuilder::new();
    for metric in metric::ALL {
        if let Kind::Histogram(bounds) = metric.kind {
            let matcher = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(matcher, bounds).ok()?;
        }
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).ok()?;
    for metric in metric::ALL {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
    metric::BUILD.gauge_of([env!("CARGO_PKG_VERSION")]).set(1);
    Some(handle)
}

/// Keeps the recorder small, until the task is ended.
pub(crate) fn keep_up() -> JoinHandle<()> {
    tokio::spawn(async {
        let mut turn = interval(UPKEEP_INTERVAL);
        while let Some(handle) = install() {
            turn.tick().await;
            handle.run_upkeep();
        }
    })
}

/// `GET /metrics`.
pub(crate) fn routes() -> BoxedFilter<(Response,)> {
    warp::path!("metrics")
        .and(warp::get())
        .map(|| {
            let mut text = install().map_or_else(String::new, PrometheusHandle::render);
            process::write(&mut text);
            let mut response = Response::new(text.into());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
            response
        })
        .boxed()
}
