//! The data folder: what a server keeps, and how others on the same machine find it.
//!
//! ```text
//!   DIR/log.sqlite      the truth
//!   DIR/history.sqlite  a projection of it; may be deleted, and is built again
//!   DIR/token.key       the secret that signs tokens (mode 0600)
//!   DIR/lock            held by the one server that uses the folder
//!   DIR/address         where that server listens
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use kernel::{identity::TokenKey, random};

/// Shortest secret that signs tokens, in bytes: as many as the hash of HS256 has (RFC 7518, 3.2).
const TOKEN_KEY_LEN_MIN: usize = 32;

/// A data folder. Having one does not mean that no server uses it; see [`DataDir::lock`].
#[derive(Debug, Clone)]
pub struct DataDir {
    root: PathBuf,
}

/// Held as long as this process uses the folder.
#[derive(Debug)]
pub struct DataLock {
    dir: DataDir,
    _file: File,
}

impl DataDir {
    /// The folder at `root`, made if there is none.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        // Conversations are private, and so is the folder that holds them.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(root);
        made.with_context(|| format!("cannot make the data folder {}", root.display()))?;
        Ok(Self { root: root.to_owned() })
    }

    /// The folder at `root`, which has a log already.
    ///
    /// # Errors
    /// There is no log in it.
    pub fn open_existing(root: &Path) -> anyhow::Result<Self> {
        let dir = Self { root: root.to_owned() };
        if !dir.log().is_file() {
            bail!(
                "there is no data in {}: name the folder with --data, or fill it with `tidings import` or \
                 `tidings serve`",
                root.display()
            );
        }
        Ok(dir)
    }

    /// The file of the log.
    pub fn log(&self) -> PathBuf {
        self.root.join("log.sqlite")
    }

    /// The file of the history.
    pub fn history(&self) -> PathBuf {
        self.root.join("history.sqlite")
    }

    /// Takes the folder for this process; `None` if another process has it.
    ///
    /// # Errors
    /// The lock file cannot be used.
    pub fn lock(&self) -> anyhow::Result<Option<DataLock>> {
        let path = self.root.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {
                let lock = DataLock { dir: self.clone(), _file: file };
                // What a server that was killed left must lead nobody to whoever listens there now.
                lock.withdraw();
                Ok(Some(lock))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// Where the server that uses the folder can be reached (`http://…`), if one said so.
    pub fn address(&self) -> Option<String> {
        let address = fs::read_to_string(self.root.join("address")).ok()?;
        Some(address.trim().to_owned()).filter(|address| !address.is_empty())
    }

    /// The key that signs and checks tokens of this folder; made at first use.
    ///
    /// # Errors
    /// The file cannot be read or written, or is too short.
    pub fn token_key(&self) -> anyhow::Result<TokenKey> {
        let path = self.root.join("token.key");
        if !path.exists() {
            self.make_token_key(&path)
                .with_context(|| format!("cannot make the token key {}", path.display()))?;
        }
        read_token_key(&path)
    }
}

/// The key that signs and checks tokens: that in the file that was named, else that of the data folder.
///
/// # Errors
/// The file cannot be read, or is too short. A file that was named is never made.
pub fn token_key(data: &Path, named: Option<&Path>) -> anyhow::Result<TokenKey> {
    match named {
        Some(path) => read_token_key(path),
        None => DataDir::open(data)?.token_key(),
    }
}

fn read_token_key(path: &Path) -> anyhow::Result<TokenKey> {
    let mut secret = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut secret))
        .with_context(|| format!("cannot read the token key {}", path.display()))?;
    if secret.len() < TOKEN_KEY_LEN_MIN {
        bail!(
            "the token key {} is shorter than {TOKEN_KEY_LEN_MIN} bytes: make one with \
             `head -c 48 /dev/urandom | base64`, or delete it if it is that of a data folder",
            path.display()
        );
    }
    Ok(TokenKey::new(&secret))
}

impl DataDir {
    /// Makes the key whole or not at all; whoever comes first wins.
    fn make_token_key(&self, path: &Path) -> std::io::Result<()> {
        let draft = self.root.join(format!("token.key.{}", random::name(8)));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(random::name(64).as_bytes())?;
        file.sync_all()?;
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft)?;
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }
}

impl DataLock {
    /// Tells others where this server listens.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn announce(&self, address: &str) -> anyhow::Result<()> {
        let path = self.dir.root.join("address");
        fs::write(&path, address).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl DataLock {
    /// Nobody is to be found at the address any more.
    fn withdraw(&self) {
        // If there is none, there is nothing to withdraw.
        let _ = fs::remove_file(self.dir.root.join("address"));
    }
}

impl Drop for DataLock {
    fn drop(&mut self) {
        self.withdraw();
    }
}
