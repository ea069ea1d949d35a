//! Endpoints that ask who connects.

use compliance_webhook::deliver::{ClientCertificate, TlsVersions};

use super::receiver::{Authority, Certificate, Receiver, Script};
use super::{NAME, check, deliver, endpoint, transport};

/// How an attempt at a receiver ends that takes clients of `authority` only.
async fn check_client(tls12: bool, shown: Option<ClientCertificate>, authority: &Authority, code: &str) {
    let script = Script::answer(b"HTTP/1.1 204 Ok\r\n\r\n");
    let identity = authority.issue(&Certificate::for_name(NAME));
    let receiver = Receiver::start_for_clients(identity, script, authority, tls12).await;
    let mut builder = transport(authority);
    if tls12 {
        builder = builder.with_versions(TlsVersions::Intermediate);
    }
    if let Some(certificate) = shown {
        builder = builder.with_client_certificate(certificate);
    }
    check(&deliver(builder, &endpoint(receiver.port(), "/")).await, code);
    assert_eq!(receiver.requests().len(), usize::from(code == "deliver.delivered"));
}

fn certificate(authority: &Authority, certificate: &Certificate) -> ClientCertificate {
    let (chain, key) = authority.issue_pem(certificate);
    ClientCertificate::from_pem(&chain, &key.into()).unwrap()
}

#[tokio::test]
async fn a_sender_shows_its_certificate_to_who_asks() {
    let authority = Authority::new();
    let ours = Certificate::for_name("sender.example.com");
    for tls12 in [false, true] {
        check_client(tls12, Some(certificate(&authority, &ours)), &authority, "deliver.delivered").await;
    }
}

#[tokio::test]
async fn an_error_says_that_the_certificate_is_ours() {
    let authority = Authority::new();
    let ours = Certificate::for_name("sender.example.com");
    let wanted = "deliver.tls_client_certificate";
    check_client(true, Some(certificate(&Authority::named("somebody else"), &ours)), &authority, wanted)
        .await;
    check_client(true, Some(certificate(&authority, &ours.clone().valid(2020, 2021))), &authority, wanted)
        .await;
}

#[test]
fn certificates_come_with_their_keys() {
    let authority = Authority::new();
    let ours = Certificate::for_name("sender.example.com");
    let (chain, key) = authority.issue_pem(&ours);
    let (_, other) = authority.issue_pem(&ours);
    let code = |chain: &str, key: &str| {
        ClientCertificate::from_pem(chain, &key.into()).map(drop).map_err(|error| error.code())
    };
    assert_eq!(code(&chain, &key), Ok(()));
    assert_eq!(code("", &key), Err("deliver.certificate"));
    assert_eq!(code(&key, &key), Err("deliver.certificate"));
    assert_eq!(code(&chain, ""), Err("deliver.private_key"));
    assert_eq!(code(&chain, &chain), Err("deliver.private_key"));
    let mismatched = ClientCertificate::from_pem(&chain, &other.into()).unwrap();
    assert!(!format!("{mismatched:?}").contains("KEY"));
    let refused = transport(&authority).with_client_certificate(mismatched).build().unwrap_err();
    assert_eq!(refused.code(), "deliver.private_key");
}
