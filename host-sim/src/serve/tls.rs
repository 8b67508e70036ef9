//! The server's certificate, and whose certificates clients must have.
//!
//! A directory as NBD servers have it: `server-cert.pem` (with the chain behind it) and `server-key.pem`; if there is a
//! `ca-cert.pem`, clients have to show a certificate that it has signed.

use std::{fs, path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use crate::cli::failure::{Failure, Kind};

const CERTIFICATE: &str = "server-cert.pem";
const KEY: &str = "server-key.pem";
const AUTHORITY: &str = "ca-cert.pem";

/// Reads the directory.
///
/// # Errors
/// A file is missing, is not what its name says, or certificate and key do not belong together.
pub fn load(directory: &Path) -> Result<Arc<ServerConfig>, Failure> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&directory.join(CERTIFICATE))?;
    let key_path = directory.join(KEY);
    let key = PrivateKeyDer::from_pem_file(&key_path).map_err(|error| unusable(&key_path, &error))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(directory, &error))?;
    let authority = directory.join(AUTHORITY);
    let builder = match fs::exists(&authority) {
        Ok(true) => builder.with_client_cert_verifier(verifier(&authority, provider)?),
        Ok(false) => builder.with_no_client_auth(),
        Err(error) => return Err(unusable(&authority, &error)),
    };
    builder.with_single_cert(chain, key).map(Arc::new).map_err(|error| unusable(directory, &error))
}

fn verifier(
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(path, &error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| unusable(path, &error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found = found.map_err(|error| unusable(path, &error))?;
    if found.is_empty() { Err(unusable(path, &"there is no certificate in it")) } else { Ok(found) }
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(Kind::Usage, format!("cannot use {} for TLS: {why}", path.display()))
        .hint(format!("the directory needs {CERTIFICATE} and {KEY}; with {AUTHORITY} clients need a certificate too"))
}
