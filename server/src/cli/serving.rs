//! `tidings serve`: the options of a server.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, thread::available_parallelism};

use anyhow::Context;
use clap::{Args, ValueEnum};
use kernel::identity::Expected;

use super::{args::DATA_DEFAULT, backing::BackingArgs};
use crate::{
    key_set::KeySource,
    settings::{Backing, Role, Roles, Settings, file::File},
    telemetry::{self, Telemetry},
};

/// Most threads of a kind.
const THREADS_MAX: i64 = 256;

const EXAMPLES: &str = "\
Examples:
  tidings serve                                      on http://127.0.0.1:8000, anybody on this machine may try it
  tidings serve --data /srv/tidings --listen 0.0.0.0:80 --allow-origin https://chat.example.org
  tidings serve --role fanout --log kafka://k1:9092/tidings --history scylla://s1:9042/tidings --token-key token.key
  TIDINGS_LISTEN=127.0.0.1:0 tidings serve           on a free port

On servers, make the topics and the tables first: tidings topics create, tidings history migrate.
It ends with Ctrl-C or SIGTERM: sessions are told to come back, then it stops.";

/// Run a server (this is what happens without a command)
///
/// Commands, questions and sessions on one address. The log and the history are in one folder, or on Kafka and Scylla,
/// where several processes share the work.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    /// Data folder: the key that signs tokens and, where they are embedded, the log and the history. Made if there is none
    /// [default: ./tidings-data]
    #[arg(long, value_name = "DIR", env = "TIDINGS_DATA")]
    data: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR", env = "TIDINGS_LISTEN")]
    listen: Option<SocketAddr>,
    /// What this process does: ingest (commands), fanout (sessions), store (history); with commas, or given again [default: all]
    #[arg(long, value_name = "ROLE", env = "TIDINGS_ROLE", value_delimiter = ',')]
    role: Vec<Role>,
    /// File of the key that signs tokens, the same for every process [default: token.key in the data folder]
    #[arg(long, value_name = "FILE", env = "TIDINGS_TOKEN_KEY")]
    token_key: Option<PathBuf>,
    /// Where an issuer lists its keys (JWKS): a file, or http(s)://…; its tokens count beside those of the key above
    #[arg(long, value_name = "FILE|URL", env = "TIDINGS_JWKS")]
    jwks: Option<KeySource>,
    /// The audience that tokens must be for (aud); can be given again (in the environment: with commas): one of them [default: any]
    #[arg(long, value_name = "NAME", env = "TIDINGS_TOKEN_AUDIENCE", value_delimiter = ',')]
    token_audience: Vec<String>,
    /// The issuer that tokens must be of (iss) [default: any]
    #[arg(long, value_name = "NAME", env = "TIDINGS_TOKEN_ISSUER")]
    token_issuer: Option<String>,
    /// Whether anybody may have a token under any name, for trying things [default: on, if only this machine can connect]
    #[arg(long, value_enum, value_name = "ON|OFF", env = "TIDINGS_GUESTS", hide_possible_values = true)]
    guests: Option<Switch>,
    /// Let pages of this origin (scheme and host) open the WebSocket, and nothing else over HTTP; can be given again (in the environment: with commas)
    #[arg(long, value_name = "ORIGIN", env = "TIDINGS_ALLOW_ORIGIN", value_delimiter = ',', value_parser = origin)]
    allow_origin: Vec<String>,
    /// Threads that deliver to sessions [default: 1]
    #[arg(long, value_name = "N", env = "TIDINGS_SHARDS", value_parser = clap::value_parser!(u16).range(1..=THREADS_MAX))]
    shards: Option<u16>,
    /// Threads that take requests [default: half as many as there are processors; the others are for the clients of the log and the history]
    #[arg(long, value_name = "N", env = "TIDINGS_THREADS", value_parser = clap::value_parser!(u16).range(1..=THREADS_MAX))]
    threads: Option<u16>,
    #[command(flatten)]
    backing: BackingArgs,
    #[command(flatten)]
    telemetry: telemetry::Settings,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl ServeArgs {
    /// Begins what a server tells.
    pub(super) fn start_telemetry(&self) -> anyhow::Result<Telemetry> {
        let roles = self.roles(&self.backing.file()?)?;
        telemetry::start(&self.telemetry, telemetry::SERVER, &roles.to_string())
    }

    /// How many threads take requests. More would wake each other for little: at 1,000 posts a second on two processors a second one
    /// cost a tenth more processor time, and a third more under full load.
    pub(super) fn threads(&self) -> anyhow::Result<usize> {
        match self.threads.or(self.backing.file()?.threads) {
            Some(threads) => counted("threads", threads),
            None => Ok(threads_default()),
        }
    }

    /// The same as the server takes it, the settings file included.
    pub(super) fn settings(self) -> anyhow::Result<Settings> {
        let file = self.backing.file()?;
        let backing = self.backing.backing(&file)?;
        let roles = self.roles(&file)?;
        if matches!(backing, Backing::Embedded) && !roles.are_all() {
            anyhow::bail!(
                "with the embedded log one process does everything: leave --role out, or give --log and --history"
            );
        }
        let backing = if roles.has(Role::Fanout) { backing } else { backing.unhurried() };
        let origins = if self.allow_origin.is_empty() {
            read_all(&file.allow_origin, origin)?
        } else {
            self.allow_origin
        };
        let in_file = file.jwks.as_deref().map(str::parse).transpose();
        let jwks = self.jwks.or(in_file.context("jwks in the settings file")?);
        let audiences =
            if self.token_audience.is_empty() { file.token_audience } else { self.token_audience };
        let expected = Expected { audiences, issuer: self.token_issuer.or(file.token_issuer) };
        let shards = counted("shards", self.shards.or(file.shards).unwrap_or(1))?;
        let defaults = Settings::on(self.data.or(file.data).unwrap_or_else(|| DATA_DEFAULT.into()));
        Ok(Settings {
            backing,
            roles,
            token_key: self.token_key.or(file.token_key),
            jwks,
            expected,
            listen: self.listen.or(file.listen).unwrap_or(defaults.listen),
            guests: self.guests.map(|switch| matches!(switch, Switch::On)).or(file.guests),
            allowed_origins: origins,
            shards,
            metrics_listen: self.telemetry.metrics_listen.or(file.metrics_listen),
            ..defaults
        })
    }

    fn roles(&self, file: &File) -> anyhow::Result<Roles> {
        let said = if self.role.is_empty() { read_all(&file.roles, str::parse)? } else { self.role.clone() };
        Ok(Roles::of(said))
    }
}

/// A number of threads; in the settings file it may be any.
fn counted(name: &str, threads: u16) -> anyhow::Result<usize> {
    let range = 1..=THREADS_MAX;
    anyhow::ensure!(range.contains(&i64::from(threads)), "{name}: {threads} is not in {range:?}");
    Ok(usize::from(threads))
}

/// Half of the processors.
pub(super) fn threads_default() -> usize {
    let processors = available_parallelism().map_or(1, NonZeroUsize::get);
    processors.div_ceil(2)
}

/// Reads values of the settings file as those of the command line are read.
fn read_all<T>(texts: &[String], read: impl Fn(&str) -> Result<T, String>) -> anyhow::Result<Vec<T>> {
    let read = texts.iter().map(|text| read(text).map_err(anyhow::Error::msg));
    read.collect::<Result<_, _>>().context("in the settings file")
}

/// An origin as browsers send it: scheme, host and port, and nothing behind them. Anything else would never match.
fn origin(text: &str) -> Result<String, String> {
    let url: reqwest::Url =
        text.parse().map_err(|error| format!("{error}; write it like https://chat.example.org"))?;
    let origin = url.origin();
    if !origin.is_tuple() || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(
            "an origin is a scheme, a host and perhaps a port, like https://chat.example.org:8443".to_owned()
        );
    }
    Ok(origin.ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_send_them() {
        assert_eq!(origin("https://Chat.example.org/"), Ok("https://chat.example.org".to_owned()));
        assert_eq!(origin("http://localhost:3000"), Ok("http://localhost:3000".to_owned()));
        for wrong in ["*", "chat.example.org", "https://chat.example.org/app", "file:///x"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
