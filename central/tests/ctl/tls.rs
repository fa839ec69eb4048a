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
    assert!(fails(&url.replace("https", "http"), "get rules", 3).contains("begins with https://"));
    fs::create_dir(directory.path().join("plain")).unwrap();
    let plain = Central::start(&directory.path().join("plain"), "");
    assert!(fails(&plain.url.replace("http", "https"), "get rules", 3).contains("begins with http://"));
    assert!(fails(url, &format!("get rules --ca {}", at("central.key")), 2).contains("no certificate"));
}
