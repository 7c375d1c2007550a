//! The session behind a stream: as `connection`, with the body of an answer in place of a socket, and no commands.

use std::{
    io::{self, IoSlice},
    rc::Rc,
};

use bytes::{Bytes, BytesMut};
use kernel::{identity::Identity, random};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    connection::FAREWELL_WAIT,
    handle::Asked,
    outbox::{Limits, Wire},
    protocol::{Disconnect, ErrorCode, Form, SubscribeRequest},
    session::{Session, Standing},
    shard::Shard,
};

/// Somebody wants a stream.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) identity: Identity,
    pub(crate) request: SubscribeRequest,
    /// Told once it is clear whether there will be one: the body, piece by piece.
    pub(crate) answer: oneshot::Sender<Result<mpsc::Receiver<Bytes>, ErrorCode>>,
}

/// One piece at a time lies between the outbox, which has the bounds, and the body.
const PIECES_LEN: usize = 1;

struct Body(mpsc::Sender<Bytes>);

impl Wire for Body {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let room = self.0.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => io::ErrorKind::WouldBlock,
            mpsc::error::TrySendError::Closed(()) => io::ErrorKind::BrokenPipe,
        })?;
        let mut piece = BytesMut::with_capacity(slices.iter().map(|slice| slice.len()).sum());
        for slice in slices {
            piece.extend_from_slice(slice);
        }
        let len = piece.len();
        room.send(piece.freeze());
        Ok(len)
    }
}

/// Serves one stream to its end.
pub(crate) async fn run(shard: Rc<Shard>, ask: Ask) {
    let Ask { identity, request, answer } = ask;
    let (body, pieces) = mpsc::channel(PIECES_LEN);
    let born = shard.around.clock.now();
    let wire = Box::new(Body(body.clone()));
    let session = Session::new(random::session_id(), Form::EventStream, wire, Limits::default(), born);
    session.set_standing(Standing::Connected(identity.clone()));
    shard.admit(&session);
    let at = Asked { shard: &shard, session: &session, identity, id: 0 };
    let begun = at.subscribe(&request, None).await;
    let begins = begun.is_ok();
    // Who asked may be gone.
    let told = answer.send(begun.map(|()| pieces)).is_ok();
    let why = if begins && told { serve(&session, &body).await } else { Disconnect::NORMAL };
    session.end(why);
    shard.dismiss(&session);
    let _ = timeout(FAREWELL_WAIT, farewell(&session, &body)).await;
}

async fn serve(session: &Session, body: &mpsc::Sender<Bytes>) -> Disconnect {
    loop {
        tokio::select! {
            biased;
            why = session.ended() => return why,
            room = body.reserve(), if session.is_blocked() => match room {
                Ok(room) => {
                    drop(room);
                    session.unblocked();
                }
                Err(_) => return Disconnect::NORMAL,
            },
            () = session.blocked(), if !session.is_blocked() => {}
            () = body.closed() => return Disconnect::NORMAL,
        }
    }
}

/// Hands over what waits. There is no code to close with: clients come back by themselves, and are refused then if they are
/// to stay away.
async fn farewell(session: &Session, body: &mpsc::Sender<Bytes>) -> io::Result<()> {
    while !session.write_out()? {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        drop(body.reserve().await.map_err(gone)?);
    }
    Ok(())
}
