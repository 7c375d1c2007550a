//! The threads of the shards. They are there before the shards are, so that what brings events to a shard can work beside it.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use kernel::{
    crash::crash,
    mirror::{Folded, Mirror},
};
use tokio::{
    runtime::{Builder, Handle},
    select,
    sync::{mpsc, oneshot},
    task::LocalSet,
    time::{Instant, timeout_at},
};

use crate::shard::{Mail, Shard, Surroundings};

/// Most folded stretches that wait for a shard; then the mirror waits for it.
const FOLDED_LEN_MAX: usize = 256;
/// How long the threads may take to end: each waits for what it has begun elsewhere, such as a read.
const END_WAIT: Duration = Duration::from_secs(5);

/// See the module. They end when this is dropped; `end` waits for it.
#[derive(Debug)]
pub struct Threads(Vec<Thread>);

struct Thread {
    runtime: Handle,
    begin: Option<oneshot::Sender<Work>>,
    /// Resolves when the thread has let go of everything.
    ended: oneshot::Receiver<()>,
    _running: oneshot::Sender<()>,
}

struct Work {
    around: Surroundings,
    mail: mpsc::Receiver<Mail>,
    folded: mpsc::Receiver<Arc<Folded>>,
}

impl Threads {
    /// Starts so many, at least one.
    ///
    /// # Errors
    /// The system does not give them.
    pub fn start(len: usize) -> io::Result<Self> {
        (0..len.max(1)).map(Thread::start).collect::<io::Result<_>>().map(Self)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Where the mirror is best started: with the shard, if there is only one, so that events need not be handed from one thread to
    /// another. With several shards none is to bear the fold for all.
    pub fn beside_the_shard(&self) -> Option<&Handle> {
        match self.0.as_slice() {
            [only] => Some(&only.runtime),
            _ => None,
        }
    }

    /// Begins the shards, each with its mailbox. A thread begins once.
    pub(crate) fn begin(&mut self, around: &Surroundings, mails: Vec<mpsc::Receiver<Mail>>) {
        for (thread, mail) in self.0.iter_mut().zip(mails) {
            let Some(begin) = thread.begin.take() else { continue };
            let folded = watch(&around.mirror);
            // A thread that is gone has crashed, and the process ends.
            let _ = begin.send(Work { around: around.clone(), mail, folded });
        }
    }

    /// Ends them, and waits until they have let go of everything that they hold.
    pub(crate) async fn end(self) {
        let deadline = Instant::now() + END_WAIT;
        // All are told first.
        let ended: Vec<_> = self.0.into_iter().map(|thread| thread.ended).collect();
        for ended in ended {
            if timeout_at(deadline, ended).await.is_err() {
                tracing::warn!("a shard did not end in time and is left behind");
            }
        }
    }
}

fn watch(mirror: &Mirror) -> mpsc::Receiver<Arc<Folded>> {
    let (watcher, folded) = mpsc::channel(FOLDED_LEN_MAX);
    mirror.watch(watcher);
    folded
}

impl Thread {
    fn start(number: usize) -> io::Result<Self> {
        let (begin, work) = oneshot::channel();
        let (running, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        thread::Builder::new().name(format!("shard-{number}")).spawn(move || {
            let serve = || {
                LocalSet::new().block_on(&runtime, async {
                    select! { () = serve(work) => {} _ = stopped => {} }
                });
            };
            if catch_unwind(AssertUnwindSafe(serve)).is_err() {
                crash("shard");
            }
            // With the tasks that were left on it, and before anybody hears of it.
            drop(runtime);
            drop(end);
        })?;
        Ok(Self { runtime: handle, begin: Some(begin), ended, _running: running })
    }
}

async fn serve(work: oneshot::Receiver<Work>) {
    let Ok(Work { around, mail, folded }) = work.await else { return };
    Shard::new(around).run(mail, folded).await;
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").field("begun", &self.begin.is_none()).finish_non_exhaustive()
    }
}
