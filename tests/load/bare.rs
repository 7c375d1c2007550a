//! What HTTP and sockets cost by themselves: a server that does nothing but hand a record to librdkafka for each request, and answer when the
//! brokers have acknowledged it. No token is looked at, nothing is read of the body, no rule is checked, no repetition is noticed. And a
//! relay that writes each record to a socket as it is consumed, unread.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, body::Bytes, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use rdkafka::{
    Message,
    consumer::StreamConsumer,
    producer::{FutureProducer, FutureRecord},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, spawn_blocking},
};

use server::measure::text_frame;

use crate::{consuming, message::Record, producing};

/// As long as what a `tidings` answers to a post.
const ANSWER_LEN: usize = 160;
/// How long the producer's queue may stay full.
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// One of them. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Bare {
    pub(crate) address: String,
    serving: JoinHandle<()>,
}

/// What its connections share.
struct Shared {
    producer: FutureProducer,
    topic: String,
    records: Arc<[Record]>,
    next: AtomicUsize,
}

impl Bare {
    /// The server, on loopback. What it writes are these records, over and over.
    pub(crate) async fn start(
        brokers: &str,
        topic: &str,
        records: Arc<[Record]>,
        linger_ms: u32,
    ) -> anyhow::Result<Self> {
        let producer = producing::config(brokers, linger_ms).create()?;
        let shared =
            Arc::new(Shared { producer, topic: topic.to_owned(), records, next: AtomicUsize::new(0) });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self { address, serving })
    }

    /// The relay, on loopback: writes what is appended to a topic to whoever connects last, each record in a frame as a session gets it.
    pub(crate) async fn relay(brokers: &str, topic: &str) -> anyhow::Result<Self> {
        let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
        let consumer: StreamConsumer =
            spawn_blocking(move || consuming::at_the_tail(&brokers, &topic)).await??;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let serving = tokio::spawn(async move {
            if let Err(error) = relay(&consumer, &listener).await {
                eprintln!("the bare relay ended: {error:#}");
            }
        });
        Ok(Self { address, serving })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn relay(consumer: &StreamConsumer, listener: &TcpListener) -> anyhow::Result<()> {
    let mut reader = None;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                reader = Some(stream);
            }
            message = consumer.recv() => {
                let message = message?;
                let frame = text_frame(message.payload().unwrap_or_default())?;
                if let Some(reader) = &mut reader {
                    // Whoever went away is replaced by the next who comes.
                    let _ = reader.write_all(&frame).await;
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let service = service_fn(|request| answer(request, &shared));
    Ok(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?)
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Result<Response<Full<Bytes>>, Infallible> {
    let status = match accept(request, shared).await {
        Ok(()) => StatusCode::CREATED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = Response::new(Full::new(Bytes::from_static(&[b' '; ANSWER_LEN])));
    *response.status_mut() = status;
    Ok(response)
}

async fn accept(request: Request<Incoming>, shared: &Shared) -> anyhow::Result<()> {
    request.into_body().collect().await?;
    let number = shared.next.fetch_add(1, Ordering::Relaxed) % shared.records.len();
    let record = shared.records.get(number).context("there are records")?;
    let sent = FutureRecord::to(&shared.topic)
        .key(&record.key)
        .payload(&record.value)
        .headers(record.headers.clone());
    shared.producer.send(sent, QUEUE_WAIT).await.map_err(|(error, _)| error)?;
    Ok(())
}
