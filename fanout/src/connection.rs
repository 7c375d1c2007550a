//! A connection: reads frames, has their commands done in order, and ends the session properly.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use kernel::random;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as WsError, Message,
        protocol::{Role, WebSocketConfig},
    },
};

use crate::{
    handle,
    outbox::Limits,
    protocol::{self, Disconnect, Form, Method},
    session::Session,
    shard::{Arrival, Shard},
};

/// How long the close frame may take to go out.
pub(crate) const FAREWELL_WAIT: Duration = Duration::from_secs(2);
/// Most commands that wait while one is done; then reading stops.
pub(crate) const PIPELINE_LEN_MAX: usize = 64;
/// Largest message from a client: a text of the greatest length, all of it written as `\u` escapes, and
/// the fields around it.
const MESSAGE_LEN_MAX: usize = 128 * 1_024;
/// What is read at once. The buffer stays with the connection, so its size is most of what an idle one costs.
const READ_LEN: usize = 1_024;

/// The reading side of a socket. What the WebSocket layer writes (pongs, its close frame) goes into the outbox.
struct Reader {
    socket: Rc<TcpStream>,
    /// What came with the handshake and was not read yet. It keeps the whole buffer of the handshake alive, so it goes when it is empty.
    ahead: Option<Bytes>,
    session: Rc<Session>,
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut ahead) = self.ahead.take() {
            let len = ahead.len().min(buf.remaining());
            buf.put_slice(&ahead.split_to(len));
            self.ahead = Some(ahead).filter(Buf::has_remaining);
            return Poll::Ready(Ok(()));
        }
        loop {
            std::task::ready!(self.socket.poll_read_ready(cx))?;
            match self.socket.try_read(buf.initialize_unfilled()) {
                Ok(len) => {
                    buf.advance(len);
                    return Poll::Ready(Ok(()));
                }
                // Readiness was stale; it is clear now.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Reader {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // A client that sends pings and reads nothing must not fill our memory.
        if !self.session.has_room_for(buf.len()) {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.session.send(Bytes::copy_from_slice(buf));
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Serves one connection to its end.
pub(crate) async fn run(shard: Rc<Shard>, arrival: Arrival) {
    let Arrival { socket, ahead, form } = arrival;
    let socket = match TcpStream::from_std(socket) {
        Ok(socket) => Rc::new(socket),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be taken over");
            return;
        }
    };
    let born = shard.around.clock.now();
    let wire = Box::new(Rc::clone(&socket));
    let session = Session::new(random::session_id(), form, wire, Limits::default(), born);
    shard.admit(&session);
    let ahead = Some(ahead).filter(Buf::has_remaining);
    let reader = Reader { socket: Rc::clone(&socket), ahead, session: Rc::clone(&session) };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_LEN)
        .write_buffer_size(0)
        .max_write_buffer_size(MESSAGE_LEN_MAX)
        .max_message_size(Some(MESSAGE_LEN_MAX))
        .max_frame_size(Some(MESSAGE_LEN_MAX));
    // What is only needed at the beginning and at the end is boxed, and what is needed all the time stands here once: the size of this
    // future is a good part of what an idle session costs.
    let mut frames = Box::pin(WebSocketStream::from_raw_socket(reader, Role::Server, Some(config))).await;
    let why = serve(&shard, &session, &mut frames, &socket).await;
    session.end(why);
    shard.dismiss(&session);
    // Nothing is left to be said to a socket that failed; others are told why.
    if why != Disconnect::WRITE_ERROR {
        let _ = Box::pin(timeout(FAREWELL_WAIT, farewell(&session, &socket, why))).await;
    }
}

type Doing = Pin<Box<dyn Future<Output = Result<(), Disconnect>>>>;

/// The loop of a session: one task, no timer. Commands are done one after the other, in order; meanwhile frames are
/// read on, so that pongs count and a client may pipeline. With too many that wait they are not, and no pong is due.
async fn serve(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    frames: &mut WebSocketStream<Reader>,
    socket: &TcpStream,
) -> Disconnect {
    let mut waiting: VecDeque<(u32, Method)> = VecDeque::new();
    let mut doing: Option<Doing> = None;
    loop {
        if doing.is_none() {
            doing = waiting.pop_front().map(|(id, method)| {
                let (shard, session) = (Rc::clone(shard), Rc::clone(session));
                Box::pin(async move {
                    // Who does not read its answers gets no more of them.
                    session.room_for_a_page().await;
                    handle::command(&shard, &session, id, method).await
                }) as Doing
            });
        }
        let listens = waiting.len() < PIPELINE_LEN_MAX;
        session.listen(listens);
        // The replies to commands that came together go out together, unless one has to wait for something.
        let done = poll_fn(|cx| {
            let Some(doing) = doing.as_mut() else { return Poll::Pending };
            session.gather();
            let done = doing.as_mut().poll(cx);
            if done.is_pending() || waiting.is_empty() {
                session.write_gathered();
            }
            done
        });
        tokio::select! {
            biased;
            why = session.ended() => return why,
            writable = socket.writable(), if session.is_blocked() => match writable {
                Ok(()) => session.unblocked(),
                Err(_) => return Disconnect::WRITE_ERROR,
            },
            () = session.blocked(), if !session.is_blocked() => {}
            outcome = done => {
                doing = None;
                if let Err(why) = outcome {
                    return why;
                }
            }
            frame = frames.next(), if listens => {
                if let Err(why) = take(frame, session, &mut waiting) {
                    return why;
                }
            }
        }
    }
}

/// Takes a frame: pongs count at once, the rest waits for its turn.
fn take(
    frame: Option<Result<Message, WsError>>,
    session: &Session,
    waiting: &mut VecDeque<(u32, Method)>,
) -> Result<(), Disconnect> {
    let payload = match (frame, session.form()) {
        (Some(Ok(Message::Text(text))), Form::Json) => text.into(),
        (Some(Ok(Message::Binary(payload))), Form::Protobuf) => payload,
        (Some(Ok(Message::Text(_) | Message::Binary(_))), _) => {
            return Err(Disconnect::INAPPROPRIATE_PROTOCOL);
        }
        (Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))), _) => return Ok(()),
        (Some(Ok(Message::Close(_))) | None, _) => return Err(Disconnect::NORMAL),
        (Some(Err(WsError::Capacity(_))), _) => return Err(Disconnect::MESSAGE_TOO_LARGE),
        (Some(Err(WsError::Protocol(_) | WsError::Utf8(_))), _) => return Err(Disconnect::PROTOCOL_ERROR),
        (Some(Err(_)), _) => return Err(Disconnect::WRITE_ERROR),
    };
    let commands = session.form().commands(&payload).map_err(|error| {
        tracing::debug!(session.client = session.client(), %error, "a frame was not understood");
        Disconnect::BAD_REQUEST
    })?;
    for command in commands {
        match (command.id, command.method()) {
            (_, Method::Pong) => session.ponged(),
            command => waiting.push_back(command),
        }
    }
    Ok(())
}

/// Writes what waits and the close frame, then shuts the writing side down.
async fn farewell(session: &Session, socket: &TcpStream, why: Disconnect) -> io::Result<()> {
    session.push(protocol::close(why));
    while !session.write_out()? {
        socket.writable().await?;
    }
    socket2::SockRef::from(socket).shutdown(std::net::Shutdown::Write)?;
    // Wait for the other side to close, so that what it has not read yet is not cut off by a reset.
    let mut rest = [0; 256];
    loop {
        socket.readable().await?;
        match socket.try_read(&mut rest) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
