//! HTTP message signatures: what is signed verifies, and only where and as it was signed.
#![cfg(feature = "http-signatures")]

use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::finding::Reason as _;
use compliance_webhook::deliver::ContentType;
use compliance_webhook::sign::{Ed25519Key, HttpSigner, KeyId, SenderKey};
use compliance_webhook::verify::{
    HttpSignatures, MAX_SIGNATURE_HEADER_LEN, ReceiverKey, RequestHead, Verifier,
};
use compliance_webhook::{EndpointPolicy, MessageId, SigningKey};

const SENT: i64 = 1_795_262_400;
const BODY: &[u8] = b"{\"n\":1,\"bin\":\"\xff\"}";
const TARGET: &str = "/in?team=7";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32]).unwrap()
}

fn key_id(text: &str) -> KeyId {
    KeyId::parse(text).unwrap()
}

fn verifier(id: &str, key: impl Into<ReceiverKey>) -> Verifier<HttpSignatures> {
    Verifier::http_signatures("Hooks.Example.net:443", key_id(id), key).unwrap()
}

/// A request as it arrives, to be spoiled.
#[derive(Clone)]
struct Request {
    method: &'static str,
    target: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    now: Timestamp,
}

impl Request {
    fn signed_by(signer: &HttpSigner) -> Self {
        let endpoint = EndpointPolicy::new().check("https://Hooks.Example.net/in?team=7").unwrap();
        let id = MessageId::parse("msg_1").unwrap();
        let signed = signer.sign(&endpoint, &id, &ContentType::JSON, at(SENT), BODY).unwrap();
        let fields =
            [("host", "hooks.example.net"), ("content-type", "application/json"), ("webhook-id", "msg_1")];
        let fields = fields.into_iter().chain(signed.pairs());
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
        Self { method: "POST", target: TARGET.to_owned(), fields, body: BODY.to_vec(), now: at(SENT) }
    }

    fn good() -> Self {
        Self::signed_by(&HttpSigner::new(key_id("billing"), key()))
    }

    fn get(&self, name: &str) -> String {
        let (_, value) = self.fields.iter().find(|(found, _)| found == name).unwrap();
        String::from_utf8(value.clone()).unwrap()
    }

    fn set(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let (_, old) = self.fields.iter_mut().find(|(found, _)| found == name).unwrap();
        *old = value.as_ref().to_vec();
        self
    }

    fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(found, _)| found != name);
        self
    }

    /// Signs another `Signature-Input` over the lines given, as a sender of another profile would.
    fn resigned(self, params: &str, lines: &[&str]) -> Self {
        use base64::Engine as _;
        use hmac::{Hmac, KeyInit as _, Mac as _};

        let base = format!("{}\n\"@signature-params\": {params}", lines.join("\n"));
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&[7; 32]).unwrap();
        mac.update(base.as_bytes());
        let tag = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
        self.set("signature-input", format!("s={params}")).set("signature", format!("s=:{tag}:"))
    }

    fn verify_with(&self, verifier: &Verifier<HttpSignatures>) -> Result<(), &'static str> {
        let fields = self.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let head = RequestHead::new(self.method, &self.target, fields);
        let verified = verifier.verify(&head, &self.body[..], self.now).map_err(|error| {
            assert_eq!(error.public_code().as_str(), "verify.refused");
            error.code()
        })?;
        assert_eq!(verified.message().id().as_str(), "msg_1");
        assert_eq!(verified.message().sent(), Some(at(SENT)));
        assert_eq!(verified.into_body(), BODY);
        Ok(())
    }

    #[track_caller]
    fn check(&self, expected: Result<(), &'static str>) {
        assert_eq!(self.verify_with(&verifier("billing", key())), expected);
    }
}

#[test]
fn what_is_signed_verifies_where_it_was_sent() {
    Request::good().check(Ok(()));
    let wrong = Err("verify.signature");
    Request { method: "PUT", ..Request::good() }.check(wrong);
    Request { target: "/other?team=7".into(), ..Request::good() }.check(wrong);
    Request { target: "/in?team=8".into(), ..Request::good() }.check(wrong);
    Request { target: "/in".into(), ..Request::good() }.check(wrong);
    Request::good().set("host", "other.example.net").check(Err("verify.authority"));
    Request::good().set("webhook-id", "msg_2").check(wrong);
    Request::good().set("content-type", "text/html").check(wrong);
    Request { body: b"{}".to_vec(), ..Request::good() }.check(Err("verify.digest"));
    // The digest of another body is not what was signed.
    let other = "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:";
    Request { body: b"{}".to_vec(), ..Request::good() }.set("content-digest", other).check(wrong);
    // What nobody covered may change.
    Request::good().with("x-trace", "1").check(Ok(()));
    // RFC 9421 §2.2.3: case and the default port are no difference.
    Request::good().set("host", "HOOKS.example.net:443").check(Ok(()));
    Request::good().set("host", "hooks.example.net:8443").check(Err("verify.authority"));
    // A receiver that shares the key takes nothing that was signed for this one, whatever the request says of itself.
    let elsewhere = Verifier::http_signatures("other.example.net", key_id("billing"), key()).unwrap();
    assert_eq!(Request::good().verify_with(&elsewhere), Err("verify.authority"));
    let moved = Request::good().set("host", "other.example.net");
    assert_eq!(moved.verify_with(&elsewhere), Err("verify.signature"));
    for authority in ["", "https://hooks.example.net", "a b", "user@host", "höst"] {
        let refused = Verifier::http_signatures(authority, key_id("billing"), key()).unwrap_err();
        assert_eq!(refused.code(), "verifier.authority");
    }
}

#[test]
fn both_kinds_of_key_sign_and_verify() {
    let pair = Ed25519Key::from_seed(&[9; 32]);
    for (sender, receiver) in [
        (SenderKey::from(key()), ReceiverKey::from(key())),
        (SenderKey::from(&pair), ReceiverKey::from(pair.verifying_key())),
    ] {
        let request = Request::signed_by(&HttpSigner::new(key_id("k"), sender));
        assert_eq!(request.verify_with(&verifier("k", receiver)), Ok(()));
        let other = verifier("other", key());
        assert_eq!(request.verify_with(&other), Err("verify.key_id"));
        let both = other.with_key(key_id("k"), SigningKey::from_bytes(&[8; 32]).unwrap()).unwrap();
        assert_eq!(request.verify_with(&both), Err("verify.signature"));
    }
    let mut full = verifier("k", key());
    for _ in 1..Verifier::<HttpSignatures>::MAX_KEY_IDS {
        full = full.with_key(key_id("k"), key()).unwrap();
    }
    assert_eq!(full.with_key(key_id("k"), key()).unwrap_err().code(), "verifier.too_many_keys");
}

#[test]
fn times_of_signing_are_near_and_lifetimes_end() {
    for (now, expected) in [
        (SENT + 300, Ok(())),
        (SENT + 301, Err("verify.timestamp_too_old")),
        (SENT - 300, Ok(())),
        (SENT - 301, Err("verify.timestamp_too_new")),
        (i64::MIN, Err("verify.timestamp_too_new")),
        (i64::MAX, Err("verify.timestamp_too_old")),
    ] {
        Request { now: at(now), ..Request::good() }.check(expected);
    }
    let brief = HttpSigner::new(key_id("billing"), key()).with_lifetime(Duration::from_secs(60));
    let brief = Request::signed_by(&brief);
    assert!(brief.get("signature-input").contains(";created=1795262400;expires=1795262460;"));
    Request { now: at(SENT + 60), ..brief.clone() }.check(Ok(()));
    Request { now: at(SENT + 61), ..brief }.check(Err("verify.timestamp_too_old"));
}

/// The lines of the usual request, by name.
fn line(name: &str) -> String {
    let request = Request::good();
    let value = match name {
        "@method" => "POST".to_owned(),
        "@authority" => "hooks.example.net".to_owned(),
        "@path" => "/in".to_owned(),
        "@query" => "?team=7".to_owned(),
        "@target-uri" => "https://hooks.example.net/in?team=7".to_owned(),
        name => request.get(name),
    };
    format!("\"{name}\": {value}")
}

/// A request signed as told: these components, these parameters.
fn signed(names: &[&str], params: &str) -> Request {
    let lines: Vec<_> = names.iter().map(|name| line(name)).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let list = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" ");
    Request::good().resigned(&format!("({list}){params}"), &lines)
}

const ALL: [&str; 5] = ["@method", "@target-uri", "content-digest", "content-type", "webhook-id"];
const PARAMS: &str = ";created=1795262400;keyid=\"billing\";tag=\"webhook\"";

#[test]
fn a_signature_covers_what_makes_the_message() {
    signed(&ALL, PARAMS).check(Ok(()));
    for missing in ALL {
        let rest: Vec<_> = ALL.into_iter().filter(|name| *name != missing).collect();
        signed(&rest, PARAMS).check(Err("verify.component"));
    }
    signed(&[], PARAMS).check(Err("verify.component"));
    let parts = ["@method", "@authority", "@path", "@query", "content-digest", "content-type", "webhook-id"];
    signed(&parts, PARAMS).check(Ok(()));
    for at in 1..4 {
        let mut rest = parts.to_vec();
        rest.remove(at);
        signed(&rest, PARAMS).check(Err("verify.component"));
    }
    let more = [&ALL[..], &["host"]].concat();
    signed(&more, PARAMS).check(Ok(()));
    // Names once, lower case, without parameters; derived components of a request only.
    let twice = [&ALL[..], &["@method"]].concat();
    signed(&twice, PARAMS).check(Err("verify.component"));
    for odd in [
        "\"@status\"",
        "\"@query-param\";name=\"team\"",
        "\"Host\"",
        "\"host\";bs",
        "\"@method\";req",
        "host",
        "1",
    ] {
        let list = ALL.map(|name| format!("\"{name}\"")).join(" ");
        let params = format!("({list} {odd}){PARAMS}");
        Request::good().resigned(&params, &[]).check(Err("verify.component"));
    }
    let traced = [&ALL[..], &["x-trace"]].concat();
    let list = traced.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" ");
    Request::good().resigned(&format!("({list}){PARAMS}"), &[]).check(Err("verify.header_missing"));
}

#[test]
fn parameters_are_those_of_the_profile() {
    for (params, expected) in [
        (";created=1795262400;keyid=\"billing\";tag=\"webhook\";nonce=\"n\";alg=\"hmac-sha256\"", Ok(())),
        (";created=1795262400;keyid=\"billing\";alg=\"ed25519\";tag=\"webhook\"", Err("verify.key_id")),
        (";created=1795262400;keyid=\"other\";tag=\"webhook\"", Err("verify.key_id")),
        (";created=1795262400;tag=\"webhook\"", Err("verify.key_id")),
        (";keyid=\"billing\";tag=\"webhook\"", Err("verify.timestamp_syntax")),
        (";created=\"1795262400\";keyid=\"billing\";tag=\"webhook\"", Err("verify.timestamp_syntax")),
        (";created=1795262400.0;keyid=\"billing\";tag=\"webhook\"", Err("verify.timestamp_syntax")),
        (";created=-1;keyid=\"billing\";tag=\"webhook\"", Err("verify.timestamp_too_old")),
        (";created=999999999999999;keyid=\"billing\";tag=\"webhook\"", Err("verify.timestamp_too_new")),
        (
            ";created=1795262400;expires=1795262399;keyid=\"billing\";tag=\"webhook\"",
            Err("verify.timestamp_syntax"),
        ),
        (";created=1795262400;keyid=\"billing\";tag=\"webhook\";critical", Err("verify.signature_syntax")),
        (";created=1795262400;keyid=billing;tag=\"webhook\"", Err("verify.signature_syntax")),
        (";created=1795262400;keyid=\"billing\";tag=\"other\"", Err("verify.scheme")),
        (";created=1795262400;keyid=\"billing\"", Err("verify.scheme")),
        (";created=1795262400;keyid=\"billing\";tag=webhook", Err("verify.scheme")),
    ] {
        signed(&ALL, params).check(expected);
    }
}

#[test]
fn headers_are_dictionaries_in_canonical_form_and_come_once() {
    let good = Request::good();
    let (input, signature) = (good.get("signature-input"), good.get("signature"));
    let syntax = Err("verify.signature_syntax");
    for spoiled in [
        String::new(),
        input.replace("+001", ""),
        format!("{input},"),
        format!("{input},{input}"),
        format!("{input}, {input}"),
        input.replace("created=1795262400", "created=+1795262400"),
        input.replace("created=1795262400", "created=01795262400"),
        input.replace(";created", "; created"),
        input.replace("\" \"", "\"  \""),
        input.replace("webhook=", "Webhook="),
        input.replace("created=1795262400", "created=9223372036854775807"),
        format!("{input}\0"),
        format!("{input}é"),
        "webhook=1".to_owned(),
        "webhook".to_owned(),
    ] {
        if spoiled != input {
            good.clone().set("signature-input", &spoiled).check(syntax);
        }
    }
    for spoiled in [
        String::new(),
        signature.replace("webhook=", "other="),
        signature.replace("=:", ":"),
        signature.trim_end_matches(':').to_owned(),
        format!("{signature};a"),
        "webhook=1".to_owned(),
        "webhook=(:AAAA:)".to_owned(),
    ] {
        good.clone().set("signature", &spoiled).check(syntax);
    }
    good.clone().set("signature", "webhook=:AAAA:").check(Err("verify.signature"));
    for name in ["signature-input", "signature", "content-digest", "webhook-id"] {
        good.clone().without(name).check(Err("verify.header_missing"));
        good.clone().with(&name.to_uppercase(), good.get(name)).check(Err("verify.header_duplicate"));
        good.clone().set(name, [0xff, 0xfe]).check(syntax);
        good.clone().set(name, "x".repeat(MAX_SIGNATURE_HEADER_LEN + 1)).check(Err("verify.header_length"));
    }
    good.clone().set("host", [0xff]).check(Err("verify.header_missing"));
    good.clone().without("host").check(Err("verify.header_missing"));
    for id in ["a.b", "\0", "", "ü"] {
        let expected = if id == "\0" || id == "ü" { "verify.signature_syntax" } else { "verify.id" };
        good.clone().set("webhook-id", id).check(Err(expected));
    }
    let flood = (0..100_000).fold(good, |request, _| request.with("x", "1"));
    flood.check(Err("verify.header_length"));
}

#[test]
fn signatures_are_counted_before_they_are_tried() {
    let good = Request::good();
    let (input, signature) = (good.get("signature-input"), good.get("signature"));
    let many = |count: usize, member: &str| {
        (0..count).map(|at| format!("s{at}={member}")).collect::<Vec<_>>().join(", ")
    };
    // Other tags are not looked at.
    let others = format!("{}, {input}", many(15, "();tag=\"x\""));
    good.clone().set("signature-input", &others).check(Ok(()));
    let others = format!("{}, {input}", many(16, "();tag=\"x\""));
    good.clone().set("signature-input", &others).check(Err("verify.too_many_signatures"));
    // Four of ours are, and one good one is enough.
    let ours = format!("{}, {input}", many(3, "();created=1795262400;keyid=\"k\";tag=\"webhook\""));
    let values = format!("{}, {signature}", many(3, ":AAAA:"));
    good.clone().set("signature-input", &ours).set("signature", &values).check(Ok(()));
    let ours = format!("{}, {input}", many(4, "();created=1795262400;keyid=\"k\";tag=\"webhook\""));
    let values = format!("{}, {signature}", many(4, ":AAAA:"));
    good.clone()
        .set("signature-input", &ours)
        .set("signature", &values)
        .check(Err("verify.too_many_signatures"));
    good.clone().set("signature-input", many(10_000, "()")).check(Err("verify.header_length"));
    good.set("signature", many(10_000, ":AAAA:")).check(Err("verify.header_length"));
}

#[test]
fn every_known_digest_is_the_bodys() {
    // SHA-512 of the body alone will do; unknown algorithms are skipped; one wrong refuses all.
    use base64::Engine as _;
    use sha2::Digest as _;

    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let right_256 = format!("sha-256=:{}:", encode(&sha2::Sha256::digest(BODY)));
    let right_512 = format!("sha-512=:{}:", encode(&sha2::Sha512::digest(BODY)));
    let wrong_256 = format!("sha-256=:{}:", encode(&sha2::Sha256::digest(b"{}")));
    for (digest, expected) in [
        (right_512.clone(), Ok(())),
        (format!("{right_256}, {right_512}"), Ok(())),
        (format!("md5=:AAAA:, {right_256}"), Ok(())),
        (format!("{wrong_256}, {right_512}"), Err("verify.digest")),
        (format!("{right_512}, {wrong_256}"), Err("verify.digest")),
        ("md5=:AAAA:".to_owned(), Err("verify.digest")),
        ("sha-256=:AAAA:".to_owned(), Err("verify.digest")),
        ("sha-256=1".to_owned(), Err("verify.digest")),
        (format!("{wrong_256}, {right_256}"), Err("verify.signature_syntax")),
        ("sha-256".to_owned(), Err("verify.digest")),
    ] {
        let lines = ALL.map(|name| match name {
            "content-digest" => format!("\"content-digest\": {digest}"),
            name => line(name),
        });
        let list = ALL.map(|name| format!("\"{name}\"")).join(" ");
        let request = Request::good().set("content-digest", &digest);
        let request = request.resigned(&format!("({list}){PARAMS}"), &lines.each_ref().map(String::as_str));
        request.check(expected);
    }
    let bounded = verifier("billing", key()).with_max_body_len(3);
    assert_eq!(Request::good().verify_with(&bounded), Err("verify.body_length"));
}

#[test]
fn key_ids_are_plain() {
    for (text, ok) in
        [("k", true), ("", false), ("a\"b", false), ("a\\b", false), ("a b", false), ("ü", false)]
    {
        assert_eq!(KeyId::parse(text).is_ok(), ok, "{text:?}");
    }
    assert!(KeyId::parse(&"k".repeat(128)).is_ok());
    assert_eq!(KeyId::parse(&"k".repeat(129)).unwrap_err().code(), "sign.key_id");
}
