//! The history over encrypted connections, by the real binary and its settings file.

use std::{fs, net::SocketAddr, path::Path, process::Stdio};

use anyhow::ensure;
use tests::{
    Authority, Cassandra,
    authority::Vouched,
    binary,
    jvm::{Setup, Tls},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinHandle,
};

#[tokio::test]
async fn servers_and_clients_know_each_other_by_those_who_vouch_for_them() -> anyhow::Result<()> {
    let Some(kit) = Cassandra::kit("the history over encrypted connections").await? else { return Ok(()) };
    let (of_servers, of_clients) = (Authority::new("of servers")?, Authority::new("of clients")?);
    let tls = Tls { server: of_servers.vouch("127.0.0.1")?, authority: of_clients.certificate().to_owned() };
    let cassandra = Cassandra::start(&kit, Setup { tls: Some(tls), ..Setup::default() }).await?;
    let at = cassandra.address();
    // The same server under an address that its certificate does not bear.
    let (elsewhere, _relay) = relay(at).await?;

    let folder = tempfile::tempdir()?;
    let Vouched { certificate, key } = of_clients.vouch("tidings")?;
    for (name, text) in [
        ("servers.pem", of_servers.certificate()),
        ("strangers.pem", Authority::new("strangers")?.certificate()),
        ("tidings.pem", &certificate),
        ("tidings.key", &key),
    ] {
        fs::write(folder.path().join(name), text)?;
    }
    let setting = |name: &str, file: &str| format!("{name} = {:?}\n", folder.path().join(file));
    let ca = |file| setting("ca", file);
    let key = setting("key", "tidings.key");
    let identity = setting("certificate", "tidings.pem") + &key;
    let any_address = format!("{identity}check_address = false\n");
    for (case, address, section, wrong) in [
        ("no word of who vouches", at, identity.clone(), Some("`ca`")),
        ("half of an identity", at, ca("servers.pem") + &key, Some("belong together")),
        ("a file that is not there", at, ca("nowhere.pem") + &identity, Some("nowhere.pem")),
        // How the driver puts it depends on how far it had come.
        ("a client that shows nothing", at, ca("servers.pem"), Some("cannot be changed")),
        ("a server for which others vouch", at, ca("strangers.pem") + &identity, Some("is refused")),
        ("another address", elsewhere, ca("servers.pem") + &identity, Some("address mismatch")),
        ("others, any address", elsewhere, ca("strangers.pem") + &any_address, Some("is refused")),
        ("another address, any will do", elsewhere, ca("servers.pem") + &any_address, None),
        ("all is well", at, ca("servers.pem") + &identity, None),
    ] {
        let settings = format!("history = \"scylla://{address}/tidings\"\n[scylla]\n{section}");
        let (done, said) = migrate(&folder.path().join("tidings.toml"), &settings).await?;
        let as_it_should = match wrong {
            Some(wrong) => !done && said.contains(wrong),
            None => done,
        };
        ensure!(as_it_should, "{case}: {said}\nThe server: {}", cassandra.log_tail());
    }
    Ok(())
}

/// Makes the tables with these settings; whether that went well, and what was said.
async fn migrate(path: &Path, settings: &str) -> anyhow::Result<(bool, String)> {
    fs::write(path, settings)?;
    let mut command = Command::new(binary::path()?);
    command.args(["history", "migrate", "--replication", "1", "--config"]).arg(path).stdin(Stdio::null());
    // That the system trusts the servers must not count.
    let output =
        command.env("SSL_CERT_FILE", path.with_file_name("servers.pem")).kill_on_drop(true).output().await?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// Another address of a server; the port is the same, since the driver takes it to be that of all servers.
async fn relay(to: SocketAddr) -> anyhow::Result<(SocketAddr, Relay)> {
    let listener = TcpListener::bind(("127.0.0.2", to.port())).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut there = TcpStream::connect(to).await?;
                copy_bidirectional(&mut here, &mut there).await
            });
        }
    });
    Ok((address, Relay(task)))
}

/// Ends with the value.
struct Relay(JoinHandle<()>);

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.abort();
    }
}
