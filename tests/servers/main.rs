//! The harness itself: real servers that can be killed and paused, and that leave nothing behind; and how they are put
//! together in `docker/`.

mod compose;

use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, ensure};
use rdkafka::{
    ClientConfig, Message,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    producer::{FutureProducer, FutureRecord},
    topic_partition_list::{Offset, TopicPartitionList},
};
use scylla::client::{session::Session, session_builder::SessionBuilder};
use tests::{
    Cassandra, Kafka,
    address::free_address,
    jvm::Setup,
    signal,
    wait::{SOON, within},
};
use tokio::{task::spawn_blocking, time::timeout};

const TOPIC: &str = "kept";
/// Rows that are written to Cassandra before it is killed.
const ROWS: i32 = 500;
/// How long the two servers together may take to come up on a busy machine.
const UP_WAIT: Duration = Duration::from_mins(3);

#[tokio::test]
async fn kafka_keeps_what_it_acknowledged_over_a_kill() -> anyhow::Result<()> {
    let Some(kit) = Kafka::kit("Kafka over a kill").await? else { return Ok(()) };
    let mut kafka = Kafka::start(&kit, Setup::default()).await?;
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", kafka.address().to_string());
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1));
    for made in admin.create_topics(&[topic], &AdminOptions::new()).await? {
        made.map_err(|(name, error)| anyhow::anyhow!("{name}: {error}"))?;
    }
    let producer: FutureProducer = client.clone().set("acks", "all").create()?;
    let sent = producer.send(FutureRecord::to(TOPIC).key("k").payload("before"), SOON).await;
    sent.map_err(|(error, _)| error)?;
    kafka.kill().await?;
    ensure!(kafka.kill().await.is_err(), "it cannot be killed twice");
    kafka.restart().await?;
    let read = spawn_blocking(move || first_record(&mut client));
    ensure!(read.await?? == b"before", "it comes back");
    Ok(())
}

fn first_record(client: &mut ClientConfig) -> anyhow::Result<Vec<u8>> {
    let consumer: BaseConsumer = client.set("group.id", "harness").create()?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(TOPIC, 0, Offset::Beginning)?;
    consumer.assign(&from)?;
    let record = consumer.poll(SOON).context("nothing came")??;
    Ok(record.payload().context("no value")?.to_vec())
}

#[tokio::test]
async fn cassandra_keeps_what_it_acknowledged_over_a_kill() -> anyhow::Result<()> {
    let Some(kit) = Cassandra::kit("Cassandra over a kill").await? else { return Ok(()) };
    let mut cassandra = Cassandra::start(&kit, Setup::default()).await?;
    let session = connect(&cassandra).await?;
    let keyspace =
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
    for statement in [keyspace, "CREATE TABLE k.t (k int PRIMARY KEY)"] {
        session.query_unpaged(statement, ()).await?;
    }
    // Many, so that some are acknowledged in the last moments: a log that is synced now and then would lose those.
    let insert = session.prepare("INSERT INTO k.t (k) VALUES (?)").await?;
    for key in 0..ROWS {
        session.execute_unpaged(&insert, (key,)).await?;
    }
    cassandra.kill().await?;
    cassandra.restart().await?;
    drop(session);
    let session = connect(&cassandra).await?;
    let rows = session.query_unpaged("SELECT count(*) FROM k.t", ()).await?.into_rows_result()?;
    let (kept,) = rows.single_row::<(i64,)>()?;
    ensure!(kept == i64::from(ROWS), "{kept} of {ROWS} rows come back");

    cassandra.pause().await?;
    let asked = session.query_unpaged("SELECT k FROM k.t", ());
    ensure!(timeout(Duration::from_millis(300), asked).await.is_err(), "a paused server does not answer");
    cassandra.resume().await?;
    timeout(SOON, session.query_unpaged("SELECT k FROM k.t", ())).await.context("it goes on")??;
    Ok(())
}

async fn connect(cassandra: &Cassandra) -> anyhow::Result<Session> {
    Ok(SessionBuilder::new().known_node_addr(cassandra.address()).build().await?)
}

#[tokio::test]
async fn a_server_and_its_folder_end_with_the_value() -> anyhow::Result<()> {
    let Some(kit) = Kafka::kit("the end of a server").await? else { return Ok(()) };
    let kafka = Kafka::start(&kit, Setup::default()).await?;
    let (pid, folder) = (kafka.pid()?, kafka.folder().to_owned());
    ensure!(alive(pid).await && folder.exists(), "it runs");
    let address = kafka.address();
    let taken = Kafka::start(&kit, Setup { port: Some(address.port()), ..Setup::default() }).await;
    let error = format!("{:#}", taken.err().context("two cannot have one port")?);
    ensure!(error.contains(&format!("{address} is taken")), "{error}");
    drop(kafka);
    ensure!(!alive(pid).await && !folder.exists(), "nothing is left");
    Ok(())
}

/// What `just up` and `just down` do, and that no server outlives a `kill -9` of `up`.
#[tokio::test]
async fn both_come_up_by_one_command_and_die_with_it() -> anyhow::Result<()> {
    if Kafka::kit("`servers up`").await?.is_none() || Cassandra::kit("`servers up`").await?.is_none() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let (kafka, cassandra) = (free_address()?, free_address()?);
    // Both lives are on the same folder: the second finds what the first made.
    for life in ["killed", "ended"] {
        let said = folder.path().join(life);
        let mut up = servers(folder.path())
            .args(["up", "--kafka-port", &kafka.port().to_string()])
            .args(["--cql-port", &cassandra.port().to_string()])
            .stdout(File::create(&said)?)
            .spawn()?;
        within(UP_WAIT, "the directions", async || {
            ensure!(up.try_wait()?.is_none(), "{life}: it ended by itself");
            let line = format!(
                "tidings serve --log kafka://{kafka}/tidings --history scylla://{cassandra}/tidings\n"
            );
            Ok(fs::read_to_string(&said)?.contains(&line).then_some(()))
        })
        .await?;
        for address in [kafka, cassandra] {
            ensure!(TcpStream::connect(address).is_ok(), "{life}: nobody listens at {address}");
        }
        if life == "killed" {
            up.kill()?;
        } else {
            let twice = servers(folder.path()).arg("up").output()?;
            ensure!(!twice.status.success(), "a second `up` on the folder is refused");
            let down = servers(folder.path()).arg("down").output()?;
            ensure!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
        }
        let status = up.wait()?;
        ensure!(status.success() == (life == "ended"), "{life}: {status}");
        within(SOON, "the servers to end", async || {
            let silent = |address| TcpListener::bind(address).is_ok();
            Ok((silent(kafka) && silent(cassandra)).then_some(()))
        })
        .await?;
    }
    Ok(())
}

fn servers(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_servers"));
    command.arg("--data").arg(folder);
    command
}

async fn alive(pid: u32) -> bool {
    signal::send(pid, "0").await.is_ok()
}
