//! `tidings serve`: the options of a server.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};

use super::args::DATA_DEFAULT;
use crate::{
    settings::Settings,
    telemetry::{self, Telemetry},
};

const EXAMPLES: &str = "\
Examples:
  tidings serve                                      on http://127.0.0.1:8000, anybody on this machine may try it
  tidings serve --data /srv/tidings --listen 0.0.0.0:80 --allow-origin https://chat.example.org
  TIDINGS_LISTEN=127.0.0.1:0 tidings serve           on a free port

It ends with Ctrl-C or SIGTERM: sessions are told to come back, then it stops.";

/// Run a server (this is what happens without a command)
///
/// Commands, questions and sessions on one address, the log and the history in one folder.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    /// Data folder: the log, the history, the key that signs tokens. Made if there is none
    #[arg(long, value_name = "DIR", env = "TIDINGS_DATA", default_value = DATA_DEFAULT)]
    data: PathBuf,
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "TIDINGS_LISTEN", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Whether anybody may have a token under any name, for trying things [default: on, if only this machine can connect]
    #[arg(long, value_enum, value_name = "ON|OFF", env = "TIDINGS_GUESTS", hide_possible_values = true)]
    guests: Option<Switch>,
    /// Let pages of this origin (scheme and host) connect; can be given again (in the environment: with commas)
    #[arg(long, value_name = "ORIGIN", env = "TIDINGS_ALLOW_ORIGIN", value_delimiter = ',', value_parser = origin)]
    allow_origin: Vec<String>,
    /// Threads that deliver to sessions
    #[arg(long, value_name = "N", env = "TIDINGS_SHARDS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    shards: u16,
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
        telemetry::start(&self.telemetry, telemetry::SERVER, "all")
    }

    /// The same as the server takes it.
    pub(super) fn settings(self) -> Settings {
        Settings {
            listen: self.listen,
            guests: self.guests.map(|switch| matches!(switch, Switch::On)),
            allowed_origins: self.allow_origin,
            shards: usize::from(self.shards),
            metrics_listen: self.telemetry.metrics_listen,
            ..Settings::on(self.data)
        }
    }
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
