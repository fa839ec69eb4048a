//! TLS with a private authority.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use crate::bed::Bed;
use crate::process::until;

#[test]
fn agents_trust_a_private_authority_and_no_other() {
    let bed = Bed::new("tls");
    let container = bed.container("host0", "cont0");
    let at = |file: &str| bed.dir.path().join(file);
    for name in ["ours", "other"] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        fs::write(at(&format!("{name}.pem")), authority.pem()).unwrap();
        if name == "ours" {
            let issuer = Issuer::from_params(&params, &key);
            let own = KeyPair::generate().unwrap();
            let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
            let certificate = CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap();
            fs::write(at("central.crt"), certificate.pem()).unwrap();
            fs::write(at("central.key"), own.serialize_pem()).unwrap();
        }
    }
    let mut central = bed.central("[tls]\ncertificate = '{dir}/central.crt'\nkey = '{dir}/central.key'");
    let ca = |file: &str| format!("ca = '{}'", at(file).display());
    let wary = bed.agent_of("wary", "host0", &central, &ca("other.pem"));
    until("it says why it is not linked", || wary.process.log().contains("does not answer: invalid peer certificate"));
    drop(wary);
    let url = central.url.replace("https", "http");
    central.url = url.clone();
    let lost = bed.agent_of("lost", "host0", &central, "");
    until("it says what is wrong", || lost.process.log().contains("this address speaks TLS: ask https://"));
    drop(lost);
    central.url = url.replace("http", "https");
    let agent = bed.agent("host0", &central, &ca("ours.pem"));
    until("its orders are in force", || agent.container("cont0")["reason"] == json!("central's documents"));
    assert_eq!(container.cpu_quota().unwrap().read().unwrap().quota.amount(), None);
}
