//! Certificates for encrypted connections.

use std::{fs, io, path::Path};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// Vouches for whoever a test wants.
#[derive(Debug)]
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Vouched {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Vouched {
    /// Writes both into one file, as servers on the JVM want them.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_to(&self, file: &Path) -> io::Result<()> {
        fs::write(file, format!("{}{}", self.key, self.certificate))
    }
}

impl Authority {
    /// A fresh one of this name. Two of one name confuse those who look up who vouched.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// Its own certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Vouches for a name or an address.
    ///
    /// # Errors
    /// It is none.
    pub fn vouch(&self, name: &str) -> anyhow::Result<Vouched> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        // Or it would pass for one that vouches for itself.
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Vouched { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}
