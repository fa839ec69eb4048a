//! Asking others over HTTP and HTTPS: reqwest on rustls with ring. Who is trusted is said, or the public authorities are.

use std::error::Error;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use reqwest::ClientBuilder;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// A client that trusts these authorities (PEM, and what names them in errors). It follows no redirection and uses no proxy: what it shows is
/// meant for one place.
pub(crate) fn client(authorities: Option<(&str, &str)>) -> Result<ClientBuilder> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some((pem, named)) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.with_context(|| format!("{named}: no certificates in PEM form"))?;
                roots.add(certificate).with_context(|| format!("{named}: a certificate is not understood"))?;
            }
            ensure!(!roots.is_empty(), "{named}: it has no certificate");
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .user_agent(concat!("headroom-agent/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(tls))
}

/// Why there is no answer: the innermost reason, the others only say that there is none. What looks like the other of HTTP and HTTPS is said.
pub(crate) fn why(error: &reqwest::Error) -> String {
    let reasons = || std::iter::successors(error.source(), |e| (*e).source());
    let why = reasons().last().map_or_else(|| error.to_string(), ToString::to_string);
    if reasons().any(|e| e.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)) {
        return why + "; if it speaks TLS, its address begins with https://";
    }
    if why.contains("InvalidContentType") {
        return why + "; if it speaks no TLS, its address begins with http://";
    }
    why
}
