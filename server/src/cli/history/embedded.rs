//! Verify and rebuild in a data folder.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, bail};
use kernel::{
    clock::SystemClock,
    event_log::{SharedLog, sqlite::SqliteLog},
    history::sqlite::SqliteHistory,
};

use super::{compare, fold, fold_anew};
use crate::{
    backing::EMBEDDED_PARTITIONS,
    data_dir::{DataDir, DataLock},
};

/// A folder that nobody else uses, with its log and its history.
struct Opened {
    _lock: DataLock,
    log: SharedLog,
    history: SqliteHistory,
}

/// Brings the kept history up to the log's tail, folds the log into a second one, and compares.
pub(super) async fn verify(data: &Path) -> anyhow::Result<ExitCode> {
    let Opened { _lock, log, history } = open(data, |_| Ok(()))?;
    fold(&log, Arc::new(history.clone()), "catching up").await?;
    let second = data.join("history.verify.sqlite");
    remove(&second)?;
    let rebuilt = fold_anew(&log, SqliteHistory::open(&second)?).await?;
    remove(&second)?;
    compare(&history.digest().await?, &rebuilt)
}

/// Folds the log into an empty history in the place of the old one.
pub(super) async fn rebuild(data: &Path) -> anyhow::Result<ExitCode> {
    // Removed, not emptied: what cannot be opened any more can be rebuilt too.
    let opened = open(data, remove)?;
    fold(&opened.log, Arc::new(opened.history.clone()), "rebuilding").await?;
    write!(io::stdout(), "{}", opened.history.digest().await?)?;
    Ok(ExitCode::SUCCESS)
}

/// Opens a folder, after its history was prepared.
fn open(data: &Path, prepare: fn(&Path) -> anyhow::Result<()>) -> anyhow::Result<Opened> {
    let dir = DataDir::open_existing(data)?;
    let Some(lock) = dir.lock()? else {
        bail!("a server uses the data folder {}: stop it first", data.display());
    };
    let log = SqliteLog::open(dir.log(), EMBEDDED_PARTITIONS, Arc::new(SystemClock))?;
    prepare(&dir.history())?;
    let history = SqliteHistory::open(dir.history())
        .context("the history cannot be opened; `tidings history rebuild` makes it anew")?;
    Ok(Opened { _lock: lock, log: Arc::new(log), history })
}

/// Removes a history's files, if they are there.
fn remove(history: &Path) -> anyhow::Result<()> {
    for ending in ["", "-wal", "-shm"] {
        let mut path = history.as_os_str().to_owned();
        path.push(ending);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", Path::new(&path).display()));
            }
            _ => {}
        }
    }
    Ok(())
}
