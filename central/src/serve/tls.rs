//! TLS: the certificate and key that the configuration names, by rustls with ring.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Tls;

pub(super) fn read(files: &Tls) -> Result<Arc<ServerConfig>> {
    let (certificate, key) = (&files.certificate, &files.key);
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("tls.certificate = {} is no PEM file that can be read", certificate.display()))?;
    ensure!(!chain.is_empty(), "tls.certificate = {}: it has no certificate in PEM form", certificate.display());
    let key =
        PrivateKeyDer::from_pem_file(key).with_context(|| format!("tls.key = {}: no private key in PEM form", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("tls: the certificate and the key do not go together")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
