//! Apache Kafka: one broker that is its own controller, from the jars on Maven Central.

use std::{ffi::OsString, fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use anyhow::ensure;
use rand::{Rng, distr::Alphanumeric};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use tokio::{process::Command, task::spawn_blocking};

use crate::{
    address::free_address,
    authority::Vouched,
    jvm::{self, Jvm, Place, Program, Shared, property},
    tools::Kit,
};

/// How long one look at the broker may take.
const LOOK_WAIT: Duration = Duration::from_secs(5);

/// The file of its folder that says where it takes encrypted connections.
const ENCRYPTED: &str = "encrypted";
/// Who may come over an encrypted connection.
pub const USER: &str = "tidings";
/// Its secret.
pub const PASSWORD: &str = "a-secret";

/// A broker.
pub type Kafka = Jvm<Broker>;

/// What is particular to Kafka.
#[derive(Debug)]
pub struct Broker;

/// `HOST:PORT` of a broker that the tests of this program share; topics are to be named so that they do not meet. The
/// one that `TIDINGS_TEST_KAFKA` names, or one of our own. `None`: the test is skipped.
///
/// # Errors
/// It does not come up; or as [`crate::tools::skip`].
pub async fn shared(test: &str) -> anyhow::Result<Option<String>> {
    static SHARED: Shared<Broker> = Shared::const_new();
    jvm::shared(&SHARED, test).await
}

impl Kafka {
    /// Where it takes encrypted connections, from [`USER`] with [`PASSWORD`].
    ///
    /// # Errors
    /// It takes none.
    pub fn encrypted(&self) -> anyhow::Result<SocketAddr> {
        Ok(fs::read_to_string(self.folder().join(ENCRYPTED))?.parse()?)
    }
}

impl Program for Broker {
    const NAME: &'static str = "Kafka";
    const FOLDER: &'static str = "servers/kafka";
    const VARIABLE: &'static str = "TIDINGS_TEST_KAFKA";

    async fn prepare(place: &Place<'_>) -> anyhow::Result<Vec<OsString>> {
        let settings = place.folder.join("server.properties");
        let data = place.folder.join("data");
        let mut listeners = vec![format!("PLAINTEXT://{}", place.address)];
        let mut encryption = String::new();
        if let Some(tls) = place.tls {
            let address = free_address()?;
            fs::write(place.folder.join(ENCRYPTED), address.to_string())?;
            listeners.push(format!("SASL_SSL://{address}"));
            encryption = encryption_of(place.folder, &tls.server)?;
        }
        fs::write(&settings, properties(&listeners.join(","), free_address()?, &data) + &encryption)?;
        if !data.join("meta.properties").exists() {
            format(place.kit, &settings).await?;
        }
        let log_settings =
            property("log4j2.configurationFile", &place.kit.folder().join("log4j2.properties"));
        Ok(vec![log_settings, "kafka.Kafka".into(), settings.into()])
    }

    async fn answers(address: SocketAddr) -> bool {
        let look = spawn_blocking(move || {
            let client: BaseConsumer =
                ClientConfig::new().set("bootstrap.servers", address.to_string()).create()?;
            client.fetch_metadata(None, LOOK_WAIT)
        });
        // A broker that has not registered with its controller names no broker at all.
        matches!(look.await, Ok(Ok(metadata)) if !metadata.brokers().is_empty())
    }
}

/// Topics are made by command, never by a typing error; a group starts without waiting for more members, and may lose a
/// silent one soon. The controller forgets a killed broker soon: until then it does not let the next one in.
fn properties(listeners: &str, controller: SocketAddr, data: &Path) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
listeners={listeners},CONTROLLER://{controller}
advertised.listeners={listeners}
log.dirs={data}
auto.create.topics.enable=false
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=4194304
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
",
        data = data.display()
    )
}

/// What the broker shows, and whom it lets in.
fn encryption_of(folder: &Path, server: &Vouched) -> anyhow::Result<String> {
    let shown = folder.join("server.pem");
    server.write_to(&shown)?;
    Ok(format!(
        "ssl.keystore.type=PEM
ssl.keystore.location={shown}
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
",
        shown = shown.display(),
    ))
}

/// Makes an empty data folder with a cluster id of its own: 16 bytes in base 64, of which the last letter carries 4 bits.
async fn format(kit: &Kit, settings: &Path) -> anyhow::Result<()> {
    let mut id: String = rand::rng().sample_iter(Alphanumeric).take(21).map(char::from).collect();
    id.push('A');
    let output = Command::new(kit.interpreter())
        .arg("-XX:TieredStopAtLevel=1")
        .arg("-cp")
        .arg(kit.class_path())
        .args(["kafka.tools.StorageTool", "format", "--cluster-id", &id, "--config"])
        .arg(settings)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the folder cannot be formatted: {} {said}", output.status);
    Ok(())
}
