//! The Container Scaler API over TLS, with an authority of one's own.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::agent::{Agent, Answer, BINARY, exchange};
use crate::bed::Bed;
use crate::files::shares;

const TOKEN: &str = "a-token-of-twenty-two-";

/// Two authorities, `ours.pem` and `other.pem`, and a certificate for loopback from the first.
fn certify(dir: &Path) {
    for name in ["ours", "other"] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(dir.join(format!("{name}.pem")), params.self_signed(&key).unwrap().pem()).unwrap();
        if name == "ours" {
            let own = KeyPair::generate().unwrap();
            let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
            let issuer = Issuer::from_params(&params, &key);
            let certificate = CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap();
            fs::write(dir.join("agent.crt"), certificate.pem()).unwrap();
            fs::write(dir.join("agent.key"), own.serialize_pem()).unwrap();
        }
    }
}

/// Over TLS, trusting an authority.
fn send(agent: &Agent, authority: &Path, method: &str, headers: &[&str], body: &str) -> Answer {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), "127.0.0.1".try_into().unwrap()).unwrap();
    exchange(StreamOwned::new(client, TcpStream::connect(agent.tcp()).unwrap()), method, "/container/cont0", headers, body)
}

fn status(args: &[&str]) -> Output {
    Command::new(BINARY).arg("status").args(args).output().unwrap()
}

/// What it complains about.
fn fails(args: &[&str]) -> String {
    let output = status(args);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn who_trusts_its_authority_is_served_and_nobody_is_served_plainly() {
    let bed = Bed::new("tls");
    let cont0 = bed.container("cont0");
    certify(bed.dir());
    let at = |file: &str| bed.dir().join(file).display().to_string();
    fs::write(at("token"), TOKEN).unwrap();
    let mut config = bed.config();
    config.set("api", "token_file", &format!("{:?}", at("token")));
    config.set("api.tls", "certificate", &format!("{:?}", at("agent.crt")));
    config.set("api.tls", "key", &format!("{:?}", at("agent.key")));
    let agent = bed.run(&config);
    agent.until("it is known", |agent| !agent.container("cont0").is_null());
    let address = agent.tcp();
    let (url, plain) = (format!("https://{address}"), format!("http://{address}"));

    // The authority that it is from: reading is free, writing takes the token.
    let host = format!("Host: {address}");
    let body = r#"{"cpu": {"cpu_allowance_limit": 70}}"#;
    assert_eq!(send(&agent, &bed.dir().join("ours.pem"), "GET", &[&host], "").status, 200);
    assert!(send(&agent, &bed.dir().join("ours.pem"), "PUT", &[&host], body).error(401).contains("Authorization"));
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(send(&agent, &bed.dir().join("ours.pem"), "PUT", &[&host, &bearer], body).status, 201);
    assert_eq!(shares(&cont0), Some(70.0));

    // `status` over TLS, by address and by name.
    let told = status(&["--url", &url, "--ca", &at("ours.pem"), "--json"]);
    assert!(told.status.success(), "{told:?}");
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["containers"][0]["container"]["name"], "cont0");
    let by_name = url.replace("127.0.0.1", "localhost");
    assert!(status(&["--url", &by_name, "--ca", &at("ours.pem")]).status.success());

    // Another authority, or only the public ones: it is not trusted, and nothing is shown to it.
    assert!(fails(&["--url", &url, "--ca", &at("other.pem")]).contains("invalid peer certificate"));
    assert!(fails(&["--url", &url]).contains("invalid peer certificate"));
    assert!(fails(&["--url", &url, "--ca", &at("agent.key")]).contains("agent.key: it has no certificate"));
    assert!(fails(&["--url", &url, "--ca", &at("missing.pem")]).contains("missing.pem"));

    // Plainly: told what to do, and nothing else.
    let told = agent.send_tcp("GET", "/container/cont0", &[&host], "").error(400);
    assert!(told.contains("speaks TLS"), "{told}");
    assert!(agent.send_tcp("PUT", "/container/cont0", &[&host, &bearer], body).error(400).contains("https://"));
    assert!(fails(&["--url", &plain]).contains("this address speaks TLS"));
    // The unix socket stays plain.
    assert!(status(&["--socket", &bed.socket().display().to_string()]).status.success());
}
