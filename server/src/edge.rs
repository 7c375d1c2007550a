//! The accept loop: TCP connections become HTTP/1.1, with the limits that the library does not set.
//!
//! Each connection gets `TCP_NODELAY`, an end if what was sent stays unread (`TCP_USER_TIMEOUT`), little room in the system for what is not sent yet (`TCP_NOTSENT_LOWAT`), a time limit for the
//! head of a request (also while it is idle between two), and a place among a bounded number. On shutdown it finishes the request at hand.

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
/// About how many bytes the system takes of a connection before it can send them. What it has taken nothing can overtake: without a limit
/// that is 4 MiB, and a session that reads 100 kB/s would see a ping after 40 s, when it should have answered within 8.
const UNSENT_MAX: u32 = 64 * 1_024;
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
    let options = SockRef::from(&socket);
    options.set_tcp_user_timeout(Some(UNREAD_MAX))?;
    options.set_tcp_notsent_lowat(UNSENT_MAX)?;
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::stream;
    use tokio::{io::AsyncWriteExt, time::timeout};
    use warp::{Filter, Reply};

    use super::*;

    /// What a connection may hold for a reader that takes nothing: of ours, of the system's here, and of the system's there.
    const HELD_MAX: usize = 1_024 * 1_024;

    #[tokio::test]
    async fn what_a_reader_does_not_take_waits_here_and_not_in_the_system() {
        let (given, mut told) = watch::channel(0);
        let endless = warp::any().map(move || {
            let given = given.clone();
            let chunks = stream::repeat_with(move || {
                given.send_modify(|given| *given += 16 * 1_024);
                Ok::<_, Infallible>(Bytes::from_static(&[0; 16 * 1_024]))
            });
            warp::reply::stream(chunks).into_response()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_going, stopped_when) = watch::channel(false);
        tokio::spawn(serve(listener, endless.boxed(), stopped_when));
        let mut reader = TcpStream::connect(address).await.unwrap();
        reader.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        told.wait_for(|given| *given > UNSENT_MAX as usize).await.unwrap();
        let more = timeout(Duration::from_secs(1), told.wait_for(|given| *given > HELD_MAX)).await;
        assert!(more.is_err(), "the system has taken {} bytes", *more.unwrap().unwrap());
    }
}
