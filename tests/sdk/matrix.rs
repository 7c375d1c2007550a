//! What is crossed with what: releases of SDKs, wire forms, and what a client can do.

use std::fmt::{self, Display, Formatter};

use tests::{tools, tools::Kit};

use crate::run::Part;

/// An SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sdk {
    JavaScript,
    Python,
    Go,
}

/// One release of an SDK. The packages that it runs with are locked in `SDK/releases/VERSION`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) sdk: Sdk,
    pub(crate) version: &'static str,
    /// Whether it can be told where a subscription is to begin. Otherwise each begins where the log is.
    pub(crate) from_start: bool,
}

/// How the messages of the protocol are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Protobuf,
}

/// What a client can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capability {
    Connect,
    Subscribe,
    Publish,
    Rpc,
    History,
    Presence,
    Refresh,
    /// Over `kill -9` of the server.
    Recovery,
}

/// The newest release of each SDK, and an older one.
pub(crate) static RELEASES: [Release; 6] = [
    Release { sdk: Sdk::JavaScript, version: "5.3.5", from_start: true },
    Release { sdk: Sdk::JavaScript, version: "5.8.0", from_start: true },
    Release { sdk: Sdk::Python, version: "0.4.4", from_start: false },
    Release { sdk: Sdk::Python, version: "0.7.0", from_start: true },
    Release { sdk: Sdk::Go, version: "0.10.11", from_start: false },
    Release { sdk: Sdk::Go, version: "0.12.1", from_start: true },
];

impl Sdk {
    /// The name of its package.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::JavaScript => "centrifuge",
            Self::Python => "centrifuge-python",
            Self::Go => "centrifuge-go",
        }
    }

    /// The script of a part.
    pub(crate) fn script(self, part: Part) -> String {
        let extension = match self {
            Self::JavaScript => ".mjs",
            Self::Python => ".py",
            Self::Go => "",
        };
        format!("{}{extension}", part.name())
    }
}

impl Release {
    /// What its scripts run on. `None`: they are skipped.
    ///
    /// # Errors
    /// As [`tools::skip`].
    pub(crate) async fn kit(&self) -> anyhow::Result<Option<Kit>> {
        let scripts = match self.sdk {
            Sdk::JavaScript => "sdk/js",
            Sdk::Python => "sdk/python",
            Sdk::Go => "sdk/go",
        };
        let packages = format!("{scripts}/releases/{}", self.version);
        let (test, folders) = (self.to_string(), [scripts, &packages]);
        match self.sdk {
            Sdk::JavaScript => tools::node(&test, &folders).await,
            Sdk::Python => tools::python(&test, &folders).await,
            Sdk::Go => tools::go(&test, &folders).await,
        }
    }
}

impl Display for Release {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.sdk.name(), self.version)
    }
}

impl Form {
    pub(crate) const ALL: [Self; 2] = [Self::Json, Self::Protobuf];

    /// As the scripts know it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Protobuf => "protobuf",
        }
    }
}

impl Capability {
    pub(crate) const ALL: [Self; 8] = [
        Self::Connect,
        Self::Subscribe,
        Self::Publish,
        Self::Rpc,
        Self::History,
        Self::Presence,
        Self::Refresh,
        Self::Recovery,
    ];

    /// As it stands above its column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Rpc => "rpc",
            Self::History => "history",
            Self::Presence => "presence",
            Self::Refresh => "refresh",
            Self::Recovery => "recovery",
        }
    }
}
