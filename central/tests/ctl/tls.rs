//! HTTPS with an authority of one's own.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::bed::Central;
use crate::{done, fails};

#[test]
fn it_trusts_the_authority_that_it_is_told_of_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let at = |file: &str| directory.path().join(file).display().to_string();
    for name in ["ours", "other"] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(at(&format!("{name}.pem")), params.self_signed(&key).unwrap().pem()).unwrap();
        if name == "ours" {
            let own = KeyPair::generate().unwrap();
            let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
            let certificate =
                CertificateParams::new(names).unwrap().signed_by(&own, &Issuer::from_params(&params, &key)).unwrap();
            fs::write(at("central.crt"), certificate.pem()).unwrap();
            fs::write(at("central.key"), own.serialize_pem()).unwrap();
        }
    }
    let central = Central::start(
        directory.path(),
        &format!("[tls]\ncertificate = '{}'\nkey = '{}'\n", at("central.crt"), at("central.key")),
    );
    let url = central.url.as_str();
    assert!(done(url, &format!("get rules --ca {}", at("ours.pem"))).contains("CpuRescaleUp"));
    done(&url.replace("127.0.0.1", "localhost"), &format!("get rules --ca {}", at("ours.pem")));
    assert!(fails(url, &format!("get rules --ca {}", at("other.pem")), 3).contains("certificate"));
    assert!(fails(url, "get rules", 3).contains("certificate"));
    assert!(fails(&url.replace("https", "http"), "get rules", 1).contains("this address speaks TLS: ask https://"));
    fs::create_dir(directory.path().join("plain")).unwrap();
    let plain = Central::start(&directory.path().join("plain"), "");
    assert!(fails(&plain.url.replace("http", "https"), "get rules", 3).contains("begins with http://"));
    assert!(fails(url, &format!("get rules --ca {}", at("central.key")), 2).contains("no certificate"));
}

#[test]
fn what_central_cannot_serve_with_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let at = |file: &str| directory.path().join(file).display().to_string();
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(at("own.crt"), own.pem()).unwrap();
    fs::write(at("own.key"), key.serialize_pem()).unwrap();
    fs::write(at("other.key"), other.serialize_pem()).unwrap();
    let table = [
        ("own.key", "own.key", "own.key: it has no certificate in PEM form"),
        ("own.crt", "own.crt", "own.crt: no private key in PEM form"),
        ("own.crt", "other.key", "do not go together"),
        ("missing.crt", "own.key", "missing.crt"),
    ];
    for (certificate, key, expected) in table {
        let config = at("central.toml");
        let text = format!(
            "listen = '127.0.0.1:0'\nstate_dir = '{}'\n[tls]\ncertificate = '{}'\nkey = '{}'\n",
            at("state"),
            at(certificate),
            at(key)
        );
        fs::write(&config, text).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_headroom-central"));
        let output = command.args(["serve", "--config", &config]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(expected), "{expected}: {told}");
    }
}
