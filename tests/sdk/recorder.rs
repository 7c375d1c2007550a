//! Stands between an SDK and the server, hands on every byte as it comes, and keeps what the SDK sent.
//!
//! What is kept is written to `target/sdk-frames`, one file a frame: true input for whoever reads frames.

use std::{
    fs,
    io::{self, ErrorKind},
    net::SocketAddr,
    path::PathBuf,
};

use anyhow::Context;
use tests::{Server, tools, wait::SOON};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use crate::{frames::frames, run::Run};

/// How much is kept of what is sent on one connection, in bytes.
const KEPT_MAX_LEN: usize = 64 * 1_024;

/// See the module. Takes no more connections when it is dropped.
#[derive(Debug)]
pub(crate) struct Recorder {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Vec<Vec<u8>>>,
}

impl Recorder {
    /// Listens for clients of this server.
    pub(crate) async fn start(server: &Server) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = server.url().trim_start_matches("http://").parse()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(listener, server, stopped));
        Ok(Self { address, stop, task })
    }

    /// Where clients connect.
    pub(crate) fn socket_url(&self) -> String {
        format!("ws://{}/connection/websocket", self.address)
    }

    /// Waits until the clients are gone, and writes their frames to files. Gives what was sent on each connection, in the
    /// order in which they came.
    ///
    /// # Errors
    /// Somebody stays, what was sent cannot be read, or nothing can be written.
    pub(crate) async fn end(self, run: &Run<'_>) -> anyhow::Result<Vec<Vec<u8>>> {
        // If it has ended already, that is what is wanted.
        let _ = self.stop.send(());
        let connections = timeout(SOON, self.task).await.context("a connection does not end")??;
        let (folder, prefix) = run.frames();
        let folder = folder_of_all()?.join(folder);
        fs::create_dir_all(&folder)?;
        let mut count = 0;
        for sent in &connections {
            for frame in frames(sent)? {
                count += 1;
                fs::write(folder.join(format!("{prefix}-{count:03}.bin")), frame)?;
            }
        }
        Ok(connections)
    }
}

/// Removes the frames of earlier times.
pub(crate) fn forget() -> anyhow::Result<()> {
    match fs::remove_dir_all(folder_of_all()?) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn folder_of_all() -> anyhow::Result<PathBuf> {
    Ok(tools::target()?.join("sdk-frames"))
}

async fn accept(listener: TcpListener, server: SocketAddr, mut stop: oneshot::Receiver<()>) -> Vec<Vec<u8>> {
    let (mut count, mut connections) = (0, JoinSet::new());
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                let number = count;
                count += 1;
                connections.spawn(async move {
                    let mut sent = Vec::new();
                    // Whatever ends it, the script sees it, and judges.
                    let _ = pass(client, server, &mut sent).await;
                    (number, sent)
                });
            }
            _ = &mut stop => break,
        }
    }
    let mut sent = connections.join_all().await;
    sent.sort_unstable_by_key(|(number, _)| *number);
    sent.into_iter().map(|(_, sent)| sent).collect()
}

async fn pass(client: TcpStream, server: SocketAddr, sent: &mut Vec<u8>) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let keep = |bytes: &[u8]| {
        let room = KEPT_MAX_LEN - sent.len();
        sent.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    };
    tokio::try_join!(copy(from_client, to_server, keep), copy(from_server, to_client, |_| ()))?;
    Ok(())
}

/// Hands on what comes until nothing more comes, and says so.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut see: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1_024];
    loop {
        let len = from.read(&mut buffer).await?;
        let bytes = buffer.get(..len).unwrap_or_default();
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        see(bytes);
        to.write_all(bytes).await?;
    }
}
