use std::fs;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

/// A folder with a certificate that vouches for itself, its key, the key of another, and a file that is none of these.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    for (name, text) in [
        ("certificate", certificate.pem()),
        ("key", key.serialize_pem()),
        ("other-key", other.serialize_pem()),
        ("none", "none".to_owned()),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// What comes of it, with files of these names.
fn with(folder: &TempDir, authorities: &str, identity: Option<(&str, &str)>) -> Result<(), String> {
    let path = |name: &str| folder.path().join(name);
    let identity =
        identity.map(|(certificate, key)| Identity { certificate: path(certificate), key: path(key) });
    let tls = Tls { authorities: path(authorities), check_address: true, identity };
    config(&tls).map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_file_that_is_missing_or_something_else_is_named_with_what_it_should_be() {
    let folder = folder();
    assert_eq!(with(&folder, "certificate", None), Ok(()));
    assert_eq!(with(&folder, "certificate", Some(("certificate", "key"))), Ok(()));
    for (authorities, identity, wrong, role) in [
        ("missing", None, "missing", "the authorities"),
        ("none", None, "none", "the authorities"),
        ("certificate", Some(("none", "key")), "none", "a certificate"),
        ("certificate", Some(("certificate", "missing")), "missing", "the key"),
        ("certificate", Some(("certificate", "other-key")), "other-key", "the key"),
    ] {
        let said = with(&folder, authorities, identity).unwrap_err();
        let path = folder.path().join(wrong).display().to_string();
        assert!(said.contains(&path) && said.contains(role), "{said}");
    }
}
