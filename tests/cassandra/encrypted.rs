//! The history over encrypted connections, by the real binary and its settings file.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::ensure;
use tempfile::TempDir;
use tests::{
    Authority, Cassandra,
    authority::Vouched,
    binary,
    jvm::{Setup, Tls},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// One who wants to use a history, and what it has.
struct Visitor {
    folder: TempDir,
}

impl Visitor {
    fn new(certificates: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        for (name, text) in certificates {
            fs::write(folder.path().join(name), text)?;
        }
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes the tables at this address, with these lines of the section `[scylla]`; what came of it, and what was said.
    async fn migrate(&self, address: SocketAddr, section: &[(&str, &str)]) -> anyhow::Result<(bool, String)> {
        let section: Vec<_> = section.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let path = self.path("tidings.toml");
        fs::write(
            &path,
            format!("history = \"scylla://{address}/tidings\"\n[scylla]\n{}\n", section.join("\n")),
        )?;
        let config = path.display().to_string();
        let output =
            binary::output(&["history", "migrate", "--replication", "1", "--config", &config]).await?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }

    /// A setting that names a file of ours.
    fn quoted(&self, name: &str) -> String {
        quoted(&self.path(name))
    }
}

#[tokio::test]
async fn servers_and_clients_know_each_other_by_those_who_vouch_for_them() -> anyhow::Result<()> {
    let Some(kit) = Cassandra::kit("the history over encrypted connections").await? else { return Ok(()) };
    let (of_servers, of_clients) = (Authority::new("of servers")?, Authority::new("of clients")?);
    let tls = Tls { server: of_servers.vouch("127.0.0.1")?, authority: of_clients.certificate().to_owned() };
    let cassandra = Cassandra::start(&kit, Setup { tls: Some(tls), ..Setup::default() }).await?;
    let Vouched { certificate, key } = of_clients.vouch("tidings")?;
    let visitor = Visitor::new(&[
        ("servers.pem", of_servers.certificate()),
        ("strangers.pem", Authority::new("strangers")?.certificate()),
        ("tidings.pem", &certificate),
        ("tidings.key", &key),
    ])?;
    let (servers, strangers) = (visitor.quoted("servers.pem"), visitor.quoted("strangers.pem"));
    let (certificate, key) = (visitor.quoted("tidings.pem"), visitor.quoted("tidings.key"));
    let identity = [("certificate", certificate.as_str()), ("key", key.as_str())];
    let with = |more: &[(&'static str, &str)]| {
        identity.iter().chain(more).map(|(name, value)| (*name, value.to_string())).collect::<Vec<_>>()
    };
    let at = cassandra.address();
    // The same server under an address that its certificate does not bear.
    let (elsewhere, _relay) = relay(at).await?;

    for (what, address, section, wrong) in [
        ("a server that a stranger vouches for", at, with(&[("ca", &strangers)]), Some("certificate")),
        ("a client that shows nothing", at, vec![("ca", servers.clone())], Some("certificate")),
        ("another address", elsewhere, with(&[("ca", &servers)]), Some("address")),
        (
            "another address, not looked at",
            elsewhere,
            with(&[("ca", &servers), ("check_address", "false")]),
            None,
        ),
        (
            "a stranger's, the address not looked at",
            elsewhere,
            with(&[("ca", &strangers), ("check_address", "false")]),
            Some("certificate"),
        ),
        ("all is well", at, with(&[("ca", &servers)]), None),
        ("no word of who vouches", at, with(&[]), Some("`ca`")),
        (
            "half of an identity",
            at,
            vec![("ca", servers.clone()), ("key", key.clone())],
            Some("belong together"),
        ),
        (
            "a file that is not there",
            at,
            vec![("ca", quoted(Path::new("/nowhere.pem")))],
            Some("/nowhere.pem"),
        ),
    ] {
        let section: Vec<_> = section.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (done, said) = visitor.migrate(address, &section).await?;
        ensure!(done == wrong.is_none(), "{what}: {said}\n{}", cassandra.log_tail());
        ensure!(wrong.is_none_or(|wrong| said.contains(wrong)), "{what}: {said}");
    }
    Ok(())
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
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
