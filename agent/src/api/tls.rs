//! TLS for the Container Scaler API: the certificate and key that the configuration names, by rustls with ring.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::serve::ServeError;
use crate::config::Api;

/// `None` where the API is served plainly.
pub(super) fn acceptor(api: &Api) -> Result<Option<TlsAcceptor>, ServeError> {
    let Some((certificate, key)) = api.tls_files()? else { return Ok(None) };
    let wrong = |what: &str, e: &dyn std::fmt::Display| ServeError::Tls(format!("api.tls: {what}: {e}"));
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| wrong("certificate is no PEM", &e))?;
    if chain.is_empty() {
        return Err(wrong("certificate", &"it has no certificate in PEM form"));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| wrong("key has no private key in PEM form", &e))?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|e| wrong("the certificate and the key do not go together", &e))?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
