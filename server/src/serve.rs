//! `tidings serve`: from settings to the last session's farewell.

use std::io::Write;

use anyhow::Context;
use kernel::clock::{Clock, SystemClock};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    app::App,
    data_dir::token_key,
    settings::{Backing, DEV_USER, Guests, Servers, Settings},
};

/// How long the token in the greeting is valid: a day.
const GREETING_TOKEN_TTL_S: i64 = 24 * 3_600;

/// Serves until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// The server cannot start, or cannot go on.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let app = App::start(&settings).await?;
    greet(&app, &settings)?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let failed = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        error = app.failed() => Some(error),
    };
    match failed {
        None => {
            tracing::info!("stopping: sessions are told to come back");
            app.stop().await
        }
        Some(error) => Err(error),
    }
}

/// Says where the page is, and gives a token to try things with.
fn greet(app: &App, settings: &Settings) -> anyhow::Result<()> {
    let url = app.url();
    let mut out = std::io::stdout().lock();
    match &settings.backing {
        Backing::Embedded => writeln!(out, "Tidings is at {url}/ (data in {})", settings.data.display())?,
        Backing::Servers(servers) => {
            let Servers { log, history, .. } = &**servers;
            writeln!(out, "Tidings is at {url}/ (roles {}; log {log}; history {history})", settings.roles)?;
        }
    }
    // A process that does a part of the work has no page that works.
    let page = settings.roles.are_all();
    if page && settings.listen.ip().is_loopback() && settings.guests() != Guests::Off {
        let key = token_key(&settings.data, settings.token_key.as_deref())?;
        let user = DEV_USER.parse()?;
        let token = key.mint(&user, true, SystemClock.now(), Some(GREETING_TOKEN_TTL_S))?;
        writeln!(
            out,
            "\nOpen the page and pick a handle, or come in as {DEV_USER}, who owns what is imported:\n"
        )?;
        writeln!(out, "  {url}/#token={token}\n")?;
        writeln!(out, "The token alone, for curl and SDKs (scope admin, valid for a day):\n\n  {token}\n")?;
    }
    writeln!(out, "Stop with Ctrl-C.")?;
    out.flush()?;
    Ok(())
}
