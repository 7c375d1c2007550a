//! What a server leaves behind that was told to end.

use std::fs;

use anyhow::{Context, ensure};
use tests::{Observer, Server, binary};

/// Enough for some of them to wait in the write-ahead log.
const MESSAGES: usize = 100;

#[tokio::test]
async fn all_that_was_accepted_is_in_the_one_file_of_the_log_after_a_clean_stop() -> anyhow::Result<()> {
    for shards in ["1", "2"] {
        let mut server = Server::start_with(&["--shards", shards]).await?;
        let ann = server.api("ann").await?;
        ann.create("tea").await?;
        let sessions = [(); 4].map(|()| Observer::start(&server.url(), ann.token(), "tea"));
        let mut last = 0;
        for number in 0..MESSAGES {
            last = ann.post("tea", &format!("m-{number}"), "hello").await.accepted()?.offset;
        }
        for session in &sessions {
            session.reached(last).await?;
        }
        ensure!(server.terminate().await?.success(), "it did not end well:\n{}", server.log_tail());

        let data = server.data();
        let wal = data.join("log.sqlite-wal");
        let left = fs::metadata(&wal).map_or(0, |wal| wal.len());
        ensure!(left == 0, "{left} bytes are left in {} ({shards} shards)", wal.display());
        let copy = server.folder().join("copy");
        fs::create_dir(&copy)?;
        fs::copy(data.join("log.sqlite"), copy.join("log.sqlite"))?;
        let copy = copy.to_str().context("a path")?;
        let exported = binary::run(&["export", "--conversation", "tea", "--data", copy]).await?;
        ensure!(exported.lines().count() == 1 + MESSAGES, "messages are missing:\n{exported}");
    }
    Ok(())
}
