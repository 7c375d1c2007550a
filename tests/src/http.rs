//! As much of an HTTP server as a test's own stand-in for somebody else's needs: requests with a length or without a body,
//! one after another on a connection.

use std::{future::Future, net::SocketAddr};

use anyhow::{Context, ensure};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// Largest body that is read, in bytes.
const BODY_LEN_MAX: usize = 64 * 1_024 * 1_024;

/// Listens on a free port of this machine. Ends when it is dropped.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// A request as far as it is looked at.
#[derive(Debug)]
pub struct Request {
    /// `POST /v1/traces`.
    pub line: String,
    /// What stands in `Content-Type`; empty if there is none.
    pub content_type: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// What it is answered.
#[derive(Debug)]
pub struct Response {
    /// With its reason: `200 OK`.
    pub status: &'static str,
    /// What stands in `Content-Type`.
    pub content_type: &'static str,
    /// Its body.
    pub body: Vec<u8>,
}

impl Listening {
    /// Answers every request with what `answer` makes of it. An error ends the connection, so that who asked sees one.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start<F>(
        answer: impl Fn(Request) -> F + Clone + Send + Sync + 'static,
    ) -> anyhow::Result<Self>
    where
        F: Future<Output = anyhow::Result<Response>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, answer.clone()));
            }
        });
        Ok(Self { address, task })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<F>(socket: TcpStream, answer: impl Fn(Request) -> F + Send + Sync) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<Response>> + Send,
{
    let mut socket = BufReader::new(socket);
    while let Some(request) = request(&mut socket).await? {
        let Response { status, content_type, body } = answer(request).await?;
        let len = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\n\r\n");
        socket.write_all(&[head.into_bytes(), body].concat()).await?;
    }
    Ok(())
}

/// The next request; `None`: the connection ended.
async fn request(socket: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Request>> {
    let mut line = String::new();
    if socket.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let first = line.rsplit_once(' ').context("no request")?.0.to_owned();
    let (mut len, mut content_type) = (0, String::new());
    loop {
        line.clear();
        ensure!(socket.read_line(&mut line).await? > 0, "the head broke off");
        match line.trim_end().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                len = value.trim().parse::<usize>()?;
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-type") => {
                value.trim().clone_into(&mut content_type);
            }
            Some(_) => {}
        }
    }
    ensure!(len <= BODY_LEN_MAX, "a body of {len} bytes");
    let mut body = vec![0; len];
    socket.read_exact(&mut body).await?;
    Ok(Some(Request { line: first, content_type, body }))
}
