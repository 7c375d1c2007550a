//! Apache Cassandra: one node, from the jars on Maven Central. It stands in for `ScyllaDB`, which speaks the same protocol.

use std::{ffi::OsString, fs, net::SocketAddr, path::Path, time::Duration};

use scylla::client::session_builder::SessionBuilder;
use tokio::time::timeout;

use crate::{
    address::free_address,
    jvm::{self, Jvm, Place, Program, Shared, Tls, Tuning, property},
};

/// How long one look at the node may take.
const LOOK_WAIT: Duration = Duration::from_secs(10);

/// A node.
pub type Cassandra = Jvm<Node>;

/// What is particular to Cassandra.
#[derive(Debug)]
pub struct Node;

/// `HOST:PORT` of a node that the tests of this program share; each uses keyspaces of its own. The one that
/// `TIDINGS_TEST_SCYLLA` names, or one of our own. `None`: the test is skipped.
///
/// # Errors
/// It does not come up; or as [`crate::tools::skip`].
pub async fn shared(test: &str) -> anyhow::Result<Option<String>> {
    static SHARED: Shared<Node> = Shared::const_new();
    jvm::shared(&SHARED, test).await
}

impl Program for Node {
    const NAME: &'static str = "Cassandra";
    const FOLDER: &'static str = "servers/cassandra";
    const VARIABLE: &'static str = "TIDINGS_TEST_SCYLLA";

    async fn prepare(place: &Place<'_>) -> anyhow::Result<Vec<OsString>> {
        let settings = place.folder.join("cassandra.yaml");
        let mut yaml = yaml(place, free_address()?);
        if let Some(tls) = place.tls {
            yaml.push_str(&encryption(place.folder, tls)?);
        }
        fs::write(&settings, yaml)?;
        let mut options = OsString::from("@");
        options.push(place.kit.folder().join("jvm.options"));
        let mut settings_url = OsString::from("file://");
        settings_url.push(&settings);
        Ok(vec![
            options,
            property("cassandra.config", Path::new(&settings_url)),
            property("cassandra.storagedir", &place.folder.join("data")),
            property("logback.configurationFile", &place.kit.folder().join("logback.xml")),
            "org.apache.cassandra.service.CassandraDaemon".into(),
        ])
    }

    async fn answers(address: SocketAddr) -> bool {
        let look = async {
            let session = SessionBuilder::new().known_node_addr(address).build().await.ok()?;
            session.query_unpaged("SELECT release_version FROM system.local", ()).await.ok()
        };
        timeout(LOOK_WAIT, look).await.is_ok_and(|answer| answer.is_some())
    }
}

/// In tests what was acknowledged survives `kill -9`: the commit log is synced before the answer, not every ten seconds.
fn yaml(place: &Place<'_>, storage: SocketAddr) -> String {
    let sync = match place.tuning {
        Tuning::Tests => "commitlog_sync: batch",
        Tuning::Load => "commitlog_sync: periodic\ncommitlog_sync_period: 10000ms",
    };
    format!(
        "cluster_name: tidings
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
{sync}
commitlog_directory: {data}/commitlog
data_file_directories: [{data}/data]
saved_caches_directory: {data}/saved_caches
hints_directory: {data}/hints
cdc_raw_directory: {data}/cdc
auto_snapshot: false
hinted_handoff_enabled: false
endpoint_snitch: SimpleSnitch
listen_address: {host}
rpc_address: {host}
native_transport_port: {port}
storage_port: {storage_port}
start_native_transport: true
auto_bootstrap: false
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: \"{storage}\"}}]
",
        data = place.folder.join("data").display(),
        host = place.address.ip(),
        port = place.address.port(),
        storage_port = storage.port(),
    )
}

/// Takes encrypted connections beside others, on the same port, and wants to know who comes over these.
fn encryption(folder: &Path, tls: &Tls) -> anyhow::Result<String> {
    let (server, authority) = (folder.join("server.pem"), folder.join("authority.pem"));
    tls.server.write_to(&server)?;
    fs::write(&authority, &tls.authority)?;
    Ok(format!(
        "client_encryption_options:
  enabled: true
  optional: true
  require_client_auth: true
  ssl_context_factory: {{class_name: org.apache.cassandra.security.PEMBasedSslContextFactory}}
  keystore: {server}
  truststore: {authority}
",
        server = server.display(),
        authority = authority.display(),
    ))
}
