//! The accept loop: TCP connections become HTTP/1.1, with the limits that the library does not set.
//!
//! Each connection gets `TCP_NODELAY`, an end if what was sent stays unread (`TCP_USER_TIMEOUT`), a time limit for the head of a request (also while it is idle between two), and a place among
//! a bounded number. On shutdown it finishes the request at hand.

use std::{io, sync::Arc, time::Duration};

use hyper::{
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::sleep,
};
use warp::{filters::BoxedFilter, reply::Response};

use crate::observed;

/// Most HTTP connections at a time; WebSockets do not count once their handshake is done.
const CONNECTIONS_MAX: usize = 4_096;
/// Most streams of server-sent events among them. A stream keeps its place for as long as it lives, and the others must not wait for
/// that.
pub(crate) const STREAMS_MAX: usize = CONNECTIONS_MAX / 4 * 3;
/// How long the head of a request may take to arrive.
const HEAD_WAIT: Duration = Duration::from_secs(30);
/// How long what was sent may stay unread before the connection is given up, WebSockets included.
const UNREAD_MAX: Duration = Duration::from_mins(2);
/// Pause after the system refused to accept (out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until `stop` turns true, then waits for the requests at hand.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: BoxedFilter<(Response,)>,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        match accepted {
            Ok((socket, _)) => {
                let (routes, stop) = (routes.clone(), stop.clone());
                tokio::spawn(async move {
                    if let Err(error) = connection(socket, routes, stop).await {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted now");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // Every place is free again when the last connection is done.
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let _ = places.acquire_many(all).await;
}

async fn connection(
    socket: TcpStream,
    routes: BoxedFilter<(Response,)>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    SockRef::from(&socket).set_tcp_user_timeout(Some(UNREAD_MAX))?;
    let routes = TowerToHyperService::new(warp::service(routes));
    let service = service_fn(move |request| {
        let routes = routes.clone();
        observed::answer(request, move |request| routes.call(request))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(64 * 1_024)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    tokio::pin!(connection);
    let done = tokio::select! {
        done = &mut connection => done,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    done.map_err(io::Error::other)
}

/// Resolves when it is time to stop, also when nobody is left who could say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
