//! librdkafka's mock cluster, in the thread that owns it.

use std::{sync::mpsc, thread};

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};
use tokio::sync::oneshot;

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Deed = Box<dyn FnOnce(&Cluster) + Send>;

/// See the module. It ends with the last handle.
#[derive(Clone)]
pub(crate) struct Mock {
    deeds: mpsc::SyncSender<Deed>,
    pub(crate) brokers: String,
}

impl Mock {
    pub(crate) fn start(brokers: i32) -> Self {
        let (deeds, todo) = mpsc::sync_channel::<Deed>(1);
        let (told, servers) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let cluster = MockCluster::new(brokers).unwrap();
            told.send(cluster.bootstrap_servers()).unwrap();
            for deed in todo {
                deed(&cluster);
            }
        });
        Self { deeds, brokers: servers.recv().unwrap() }
    }

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        deed: impl FnOnce(&Cluster) -> T + Send + 'static,
    ) -> T {
        let (done, result) = oneshot::channel();
        self.deeds.send(Box::new(move |cluster| drop(done.send(deed(cluster))))).unwrap();
        result.await.unwrap()
    }
}
