//! Packages and programs are installed once, into the cache.
//!
//! The files of a kit come from one folder or from several; of two files of one name, that of the later folder counts. So
//! scripts that several kits share stand in one place, and what makes the kits differ beside them.
//!
//! Invariant: what a tool makes, it makes in a folder of its own below that of the kit. The plain files there are those
//! of the kit's source.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use tokio::task::spawn_blocking;

/// The files of a kit, by name, and which of them say what is to be installed.
pub(super) struct Source {
    /// The folder of the cache.
    name: String,
    files: BTreeMap<String, PathBuf>,
    decides: fn(&str) -> bool,
}

impl Source {
    /// The files of `folders` (of this package). A change of one that `decides` means that all is installed again.
    ///
    /// # Errors
    /// A folder cannot be read, or there is none.
    pub(super) fn of(folders: &[&str], decides: fn(&str) -> bool) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        for folder in folders {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    files.insert(entry.file_name().to_string_lossy().into_owned(), entry.path());
                }
            }
        }
        let name = folders.last().context("a kit of no folder")?.replace('/', "-");
        Ok(Self { name, files, decides })
    }

    /// Copies the files into the cache, and runs `commands` there if what decides is not what it was the last time.
    ///
    /// # Errors
    /// A command failed.
    pub(super) async fn install(
        self,
        commands: impl FnOnce(&Path) -> anyhow::Result<Vec<Command>> + Send + 'static,
    ) -> anyhow::Result<PathBuf> {
        spawn_blocking(move || self.install_now(commands)).await?
    }

    fn install_now(
        &self,
        commands: impl FnOnce(&Path) -> anyhow::Result<Vec<Command>>,
    ) -> anyhow::Result<PathBuf> {
        let to = target()?.join("tests-cache").join(&self.name);
        fs::create_dir_all(&to)?;
        // Other tests may want the same packages at the same time.
        let lock = File::create(to.join(".lock"))?;
        lock.lock()?;
        self.copy(&to)?;
        let (wanted, stamp) = (self.list()?, to.join(".installed"));
        if fs::read(&stamp).ok().as_ref() == Some(&wanted) {
            return Ok(to);
        }
        for command in commands(&to)? {
            run(command)?;
        }
        fs::write(stamp, wanted)?;
        Ok(to)
    }

    fn copy(&self, to: &Path) -> anyhow::Result<()> {
        for (name, from) in &self.files {
            // In one step: a script that starts meanwhile must not read half of it.
            let new = to.join(format!(".{name}.new"));
            fs::copy(from, &new)?;
            fs::rename(new, to.join(name))?;
        }
        for entry in fs::read_dir(to)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_old = !name.starts_with('.') && !self.files.contains_key(&name);
            if is_old && entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// What decides, one after the other.
    fn list(&self) -> anyhow::Result<Vec<u8>> {
        let mut list = Vec::new();
        for (name, path) in self.files.iter().filter(|(name, _)| (self.decides)(name)) {
            list.extend(format!("{name}\n").bytes());
            list.extend(fs::read(path)?);
        }
        Ok(list)
    }
}

fn run(mut command: Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    let program = Path::new(command.get_program());
    ensure!(
        output.status.success(),
        "{} ended with {}: {}{}",
        program.file_name().unwrap_or(OsStr::new("it")).to_string_lossy(),
        output.status,
        String::from_utf8_lossy(&output.stderr),
        // Maven complains there.
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(())
}

/// The `target` folder: this program is `target/PROFILE/NAME` or `target/PROFILE/deps/NAME`.
///
/// # Errors
/// It is somewhere else.
pub fn target() -> anyhow::Result<PathBuf> {
    let program = env::current_exe()?;
    let mut folders = program.ancestors().skip(1).skip_while(|folder| folder.ends_with("deps"));
    Ok(folders.nth(1).context("this program is not in a target folder")?.to_owned())
}
