//! Encrypted connections: what a server has to show, and what it is shown.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use openssl::{
    error::ErrorStack,
    ssl::{SslConnector, SslFiletype, SslMethod, SslVerifyMode},
    x509::store::X509StoreBuilder,
};
use parking_lot::Mutex;
use scylla::client::session::OpenSsl010Config;

use super::settings::{Identity, Tls};

/// `X509_V_ERR_IP_ADDRESS_MISMATCH` of `openssl/x509_vfy.h`: all is well with a certificate but the address.
const OTHER_ADDRESS: i32 = 64;

/// Why connections cannot be encrypted.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// A file cannot be used.
    #[error("{} cannot be used as {role}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What it should be.
        role: &'static str,
        /// What is wrong, for the operator.
        reason: String,
    },
    /// The library refuses.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] ErrorStack),
}

/// Why a certificate was refused last: the driver only learns that one was.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusal(Arc<Mutex<Option<&'static str>>>);

impl Refusal {
    pub(super) fn reason(&self) -> Option<&'static str> {
        *self.0.lock()
    }
}

/// What the driver needs for it. Reads the files.
pub(super) fn config(tls: &Tls) -> Result<(OpenSsl010Config, Refusal), TlsError> {
    let mut connector = SslConnector::builder(SslMethod::tls_client())?;
    // In place of the authorities of the system, not beside them.
    connector.set_cert_store(X509StoreBuilder::new()?.build());
    in_use(&tls.authorities, "the authorities", |path| connector.set_ca_file(path))?;
    let (check_address, refusal) = (tls.check_address, Refusal::default());
    let refused = refusal.clone();
    connector.set_verify_callback(SslVerifyMode::PEER, move |good, checked| {
        let good = good || (!check_address && checked.error().as_raw() == OTHER_ADDRESS);
        if !good {
            *refused.0.lock() = Some(checked.error().error_string());
        }
        good
    });
    if let Some(Identity { certificate, key }) = &tls.identity {
        in_use(certificate, "a certificate", |path| connector.set_certificate_chain_file(path))?;
        // It looks whether the two belong together.
        in_use(key, "the key of the certificate", |path| {
            connector.set_private_key_file(path, SslFiletype::PEM)
        })?;
    }
    Ok((OpenSsl010Config::new(connector), refusal))
}

fn in_use(
    path: &Path,
    role: &'static str,
    take: impl FnOnce(&Path) -> Result<(), ErrorStack>,
) -> Result<(), TlsError> {
    take(path).map_err(|error| TlsError::File { path: path.to_owned(), role, reason: error.to_string() })
}

#[cfg(test)]
mod tests;
