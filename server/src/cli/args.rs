//! Values and groups of options that several commands take.

use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, FromArgMatches, parser::ValueSource};
use reqwest::Url;
use schemas::{Position, UserId};

use crate::{client::Target, settings::DEV_USER};

/// Where the data is when nobody says.
pub(super) const DATA_DEFAULT: &str = "./tidings-data";

/// Which server a command goes to: that of a folder, or any by its address. What stands on the command line
/// beats what stands in the environment, so that a variable never turns a command to another server than was named.
#[derive(Debug, Clone)]
pub(super) struct TargetArgs {
    data: PathBuf,
    user: UserId,
    url: Option<(Url, String)>,
}

/// The same as clap reads it.
#[derive(Debug, Args)]
struct Raw {
    /// Data folder. If a server runs on it, the command goes through that server; if none runs, through one in this process
    #[arg(long, value_name = "DIR", env = "TIDINGS_DATA", default_value = DATA_DEFAULT, help_heading = "Which server")]
    data: PathBuf,
    /// With --data: who acts (with the scope admin)
    #[arg(long, value_name = "NAME", default_value = DEV_USER, help_heading = "Which server")]
    user: UserId,
    /// A server anywhere, instead of a data folder
    #[arg(long, value_name = "URL", env = "TIDINGS_URL", value_parser = url, help_heading = "Which server")]
    url: Option<Url>,
    /// With --url: the token that says who asks (see `tidings token`)
    #[arg(
        long,
        value_name = "TOKEN",
        env = "TIDINGS_TOKEN",
        hide_env_values = true,
        help_heading = "Which server"
    )]
    token: Option<String>,
}

impl TargetArgs {
    /// The server, for a command that only reads.
    pub(super) fn to_read(&self) -> Target {
        self.target(false)
    }

    /// The server, for a command that may begin a data folder.
    pub(super) fn to_write(&self) -> Target {
        self.target(true)
    }

    /// The server, if one was named by its address.
    pub(super) fn by_address(&self) -> Option<Target> {
        self.url.clone().map(|(url, token)| Target::Url { url, token })
    }

    pub(super) fn data(&self) -> &PathBuf {
        &self.data
    }

    pub(super) fn user(&self) -> &UserId {
        &self.user
    }

    fn target(&self, create: bool) -> Target {
        self.by_address().unwrap_or_else(|| Target::Folder {
            data: self.data.clone(),
            user: self.user.clone(),
            create,
        })
    }
}

impl FromArgMatches for TargetArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let (data_given, url_given) = (given("data"), given("url"));
        let raw = Raw::from_arg_matches(matches)?;
        let wrong = |kind, message: &str| Err(clap::Error::raw(kind, message));
        if data_given && url_given {
            let message = "--data and --url name two servers: give one of them";
            return wrong(clap::error::ErrorKind::ArgumentConflict, message);
        }
        let url = match (raw.url.filter(|_| !data_given), raw.token) {
            (None, _) => None,
            (Some(url), Some(token)) => Some((url, token)),
            (Some(_), None) => {
                let message = "--url needs a token: give --token or set TIDINGS_TOKEN (the server's operator makes one \
                               with `tidings token`)";
                return wrong(clap::error::ErrorKind::MissingRequiredArgument, message);
            }
        };
        Ok(Self { data: raw.data, user: raw.user, url })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for TargetArgs {
    fn augment_args(command: Command) -> Command {
        Raw::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Raw::augment_args_for_update(command)
    }
}

/// A position, as positions are written everywhere.
pub(super) fn position(text: &str) -> Result<Position, String> {
    let number: i64 = text.parse().map_err(|_| "a position is a number, 0 or above".to_owned())?;
    Position::try_from(number).map_err(|error| error.to_string())
}

fn url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}; write it like http://127.0.0.1:8000"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it begins with http:// or https://".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has no ? and no #".to_owned());
    }
    Ok(url)
}
