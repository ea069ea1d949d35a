//! Which messages of GitHub, Shopify, Slack, Stripe and Svix a receiver accepts.

use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::finding::{Enforcement, Explain as _, Reason as _};
use compliance_webhook::verify::{
    Message, Provider, ProviderScheme, ProviderSecret, Received, Verified, Verifier, VerifyError,
};
use compliance_webhook::{MessageId, Signer, SigningKey};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

fn secret(text: &str) -> ProviderSecret {
    ProviderSecret::parse(text).unwrap()
}

/// GitHub Docs, "Validating webhook deliveries", "Testing the webhook payload validation".
mod github_vector {
    pub(super) const SECRET: &str = "It's a Secret to Everybody";
    pub(super) const BODY: &str = "Hello, World!";
    pub(super) const SIGNATURE: &str =
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    /// Of the body, by `sha256sum`, in base64url.
    pub(super) const ID: &str = "sha256-3_1gIbsr1bCvZ2KQgJ7DpTGR3YHH9wpLKGiKNiGCmG8";
}

/// Slack, "Verifying requests from Slack", the example there.
mod slack_vector {
    pub(super) const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    pub(super) const SENT: i64 = 1_531_420_618;
    pub(super) const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    pub(super) const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
}

/// Values computed with Python's `hmac`.
mod computed {
    pub(super) const BODY: &str = r#"{"id":"evt_1","object":"event"}"#;
    pub(super) const STRIPE_SECRET: &str = "whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH";
    pub(super) const STRIPE_SENT: i64 = 1_492_774_577;
    pub(super) const STRIPE: &str = "9ea270decc4219855697aa75562fa52a40e07edc8bc3a3a70267f53380689d93";
    pub(super) const SHOPIFY_SECRET: &str = "hush-hush-shopify-client-secret";
    pub(super) const SHOPIFY: &str = "0QKgi2DnDdwoYIfYbshUxI4SvLNJX5mGDPRAGbhqU38=";
}

type Verdict = Result<Verified<Message<String>>, VerifyError>;

#[track_caller]
fn check(verdict: Verdict, expected: Result<(), &str>) {
    let verdict = verdict.map(drop).map_err(|error| {
        assert_eq!(error.public_code().as_str(), "verify.refused");
        error.code()
    });
    assert_eq!(verdict, expected);
}

fn github(headers: &[(&str, &str)], body: &str) -> Verdict {
    Verifier::github(secret(github_vector::SECRET)).verify(headers.iter().copied(), body.to_owned(), at(0))
}

fn shopify(signature: &str, body: &str) -> Verdict {
    let verifier = Verifier::shopify(secret(computed::SHOPIFY_SECRET));
    verifier.verify([("X-Shopify-Hmac-SHA256", signature)], body.to_owned(), at(0))
}

fn slack(sent: &str, signature: &str, body: &str, now: i64) -> Verdict {
    let headers = [("X-Slack-Request-Timestamp", sent), ("X-Slack-Signature", signature)];
    Verifier::slack(secret(slack_vector::SECRET)).verify(headers, body.to_owned(), at(now))
}

fn stripe(signature: &str, body: &str, now: i64) -> Verdict {
    let verifier = Verifier::stripe(secret(computed::STRIPE_SECRET));
    verifier.verify([("Stripe-Signature", signature)], body.to_owned(), at(now))
}

#[test]
fn githubs_published_vector_verifies() {
    use github_vector::{BODY, ID, SIGNATURE};

    let verified = github(&[("X-Hub-Signature-256", SIGNATURE), ("X-GitHub-Event", "push")], BODY).unwrap();
    // Nobody signs a time, and no id: the body is what tells two messages apart.
    assert_eq!((verified.message().sent(), verified.message().id().as_str()), (None, ID));
    assert_eq!(verified.into_body(), BODY);
}

#[test]
fn slacks_published_vector_verifies() {
    use slack_vector::{BODY, SENT, SIGNATURE};

    let verified = slack("1531420618", SIGNATURE, BODY, SENT).unwrap();
    assert_eq!(verified.message().sent(), Some(at(SENT)));
    assert_eq!(verified.into_body(), BODY);
}

#[test]
fn github_signatures_are_hex_behind_their_scheme() {
    use github_vector::{BODY, SIGNATURE};

    let hex = &SIGNATURE["sha256=".len()..];
    for (signature, expected) in [
        (SIGNATURE.to_owned(), Ok(())),
        (format!("sha256={}8", &hex[..63]), Err("verify.signature")),
        (format!("sha256={}", &hex[..62]), Err("verify.signature_syntax")),
        (format!("{SIGNATURE}00"), Err("verify.signature_syntax")),
        (format!("{SIGNATURE} "), Err("verify.signature_syntax")),
        (format!("sha256= {hex}"), Err("verify.signature_syntax")),
        (format!("sha256={}", hex.to_uppercase()), Err("verify.signature_syntax")),
        (format!("sha256={}g", &hex[..63]), Err("verify.signature_syntax")),
        (format!("{SIGNATURE},{SIGNATURE}"), Err("verify.signature_syntax")),
        ("sha256=".to_owned(), Err("verify.signature_syntax")),
        (format!("SHA256={hex}"), Err("verify.scheme")),
        (format!("sha1={hex}"), Err("verify.scheme")),
        (hex.to_owned(), Err("verify.scheme")),
        (String::new(), Err("verify.scheme")),
        ("sha256=".repeat(10_000), Err("verify.header_length")),
    ] {
        check(github(&[("x-hub-signature-256", &signature)], BODY), expected);
    }
    check(github(&[("x-hub-signature-256", SIGNATURE)], "Hello, World"), Err("verify.signature"));
    check(github(&[("x-hub-signature", SIGNATURE)], BODY), Err("verify.header_missing"));
    let twice = [("x-hub-signature-256", SIGNATURE), ("X-Hub-Signature-256", SIGNATURE)];
    check(github(&twice, BODY), Err("verify.header_duplicate"));
}

#[test]
fn shopify_signatures_are_canonical_base64() {
    use computed::{BODY, SHOPIFY};

    check(shopify(SHOPIFY, BODY), Ok(()));
    check(shopify(SHOPIFY, "{}"), Err("verify.signature"));
    check(shopify(SHOPIFY.trim_end_matches('='), BODY), Err("verify.signature_syntax"));
    check(shopify(&format!("{SHOPIFY}="), BODY), Err("verify.signature_syntax"));
    check(shopify(&format!(" {SHOPIFY}"), BODY), Err("verify.signature_syntax"));
    check(shopify("", BODY), Err("verify.signature_syntax"));
    check(shopify(&SHOPIFY.repeat(10_000), BODY), Err("verify.header_length"));
}

#[test]
fn slack_times_are_plain_decimal_and_near() {
    use slack_vector::{BODY, SENT, SIGNATURE};

    for (sent, now, expected) in [
        ("1531420618", SENT + 300, Ok(())),
        ("1531420618", SENT + 301, Err("verify.timestamp_too_old")),
        ("1531420618", SENT - 300, Ok(())),
        ("1531420618", SENT - 301, Err("verify.timestamp_too_new")),
        ("1531420619", SENT, Err("verify.signature")),
        ("+1531420618", SENT, Err("verify.timestamp_syntax")),
        ("+001531420618", SENT, Err("verify.timestamp_syntax")),
        ("01531420618", SENT, Err("verify.timestamp_syntax")),
        ("-9223372036854775808", SENT, Err("verify.timestamp_syntax")),
        ("", SENT, Err("verify.timestamp_syntax")),
    ] {
        check(slack(sent, SIGNATURE, BODY, now), expected);
    }
    let hex = &SIGNATURE["v0=".len()..];
    check(slack("1531420618", hex, BODY, SENT), Err("verify.scheme"));
    check(slack("1531420618", &format!("v1={hex}"), BODY, SENT), Err("verify.scheme"));
    check(slack("1531420618", "v0=00", BODY, SENT), Err("verify.signature_syntax"));
    let missing = Verifier::slack(secret(slack_vector::SECRET));
    check(
        missing.verify([("x-slack-signature", SIGNATURE)], BODY.to_owned(), at(SENT)),
        Err("verify.header_missing"),
    );
}

#[test]
fn stripe_lists_have_one_time_and_some_v1() {
    use computed::{BODY, STRIPE, STRIPE_SENT};

    let wrong = "0".repeat(64);
    for (signature, expected) in [
        (format!("t=1492774577,v1={STRIPE}"), Ok(())),
        (format!("t=1492774577,v1={wrong},v1={STRIPE},v0={wrong}"), Ok(())),
        (format!("v1={STRIPE},t=1492774577"), Ok(())),
        (format!("t=1492774577,v1=00,v1={STRIPE}"), Ok(())),
        (format!("t=1492774577,v1={wrong}"), Err("verify.signature")),
        (format!("t=1492774578,v1={STRIPE}"), Err("verify.signature")),
        (format!("t=1492774577,v0={STRIPE}"), Err("verify.scheme")),
        (format!("t=1492774577,V1={STRIPE}"), Err("verify.scheme")),
        (format!("t=1492774577, v1={STRIPE}"), Err("verify.scheme")),
        ("t=1492774577".to_owned(), Err("verify.scheme")),
        ("t=1492774577,v1=00".to_owned(), Err("verify.signature_syntax")),
        (format!("t=1492774577,v1={STRIPE},"), Err("verify.signature_syntax")),
        (format!("t=1492774577,v1={STRIPE},x"), Err("verify.signature_syntax")),
        (String::new(), Err("verify.signature_syntax")),
        (format!("v1={STRIPE}"), Err("verify.timestamp_syntax")),
        (format!("t=+1492774577,v1={STRIPE}"), Err("verify.timestamp_syntax")),
        (format!("t=,v1={STRIPE}"), Err("verify.timestamp_syntax")),
        (format!("t=1492774577,t=1492774577,v1={STRIPE}"), Err("verify.header_duplicate")),
        (format!("t=1492774577{},v1={STRIPE}", ",v0=0".repeat(15)), Ok(())),
        (format!("t=1492774577{},v1={STRIPE}", ",v0=0".repeat(16)), Err("verify.too_many_signatures")),
        (format!("t=1492774577{}", ",v1=00".repeat(10_000)), Err("verify.header_length")),
    ] {
        check(stripe(&signature, BODY, STRIPE_SENT), expected);
    }
    let good = format!("t=1492774577,v1={STRIPE}");
    check(stripe(&good, BODY, STRIPE_SENT + 301), Err("verify.timestamp_too_old"));
    check(stripe(&good, "{}", STRIPE_SENT), Err("verify.signature"));
}

#[test]
fn svix_headers_have_other_names_for_the_same_scheme() {
    let key = SigningKey::from_bytes(&[7; 32]).unwrap();
    let id = MessageId::parse("msg_1").unwrap();
    let now = at(1_795_262_400);
    let signed = Signer::new(key.clone()).sign(&id, now, b"{}").unwrap();
    let standard = signed.pairs();
    let svix = standard.map(|(name, value)| (name.replace("webhook-", "Svix-"), value));
    let verifier = Verifier::svix(key.clone());
    assert_eq!(verifier.verify(svix.clone(), "{}", now).unwrap().message().id(), &id);
    assert_eq!(verifier.verify(standard, "{}", now).unwrap_err().code(), "verify.header_missing");
    assert_eq!(Verifier::new(key).verify(svix, "{}", now).unwrap_err().code(), "verify.header_missing");
}

#[test]
fn any_of_the_secrets_will_do_while_one_is_rotated() {
    use github_vector::{BODY, SECRET, SIGNATURE};

    let headers = [("x-hub-signature-256", SIGNATURE)];
    let other = || secret("another secret of the rotation");
    let without = Verifier::github(other());
    assert_eq!(without.verify(headers, BODY, at(0)).unwrap_err().code(), "verify.signature");
    let mut with = without.with_secret(secret(SECRET)).unwrap();
    assert!(with.verify(headers, BODY, at(0)).is_ok());
    for _ in 2..Verifier::<ProviderScheme>::MAX_SECRETS {
        with = with.with_secret(other()).unwrap();
    }
    assert_eq!(with.with_secret(other()).unwrap_err().code(), "verifier.too_many_keys");
}

#[test]
fn a_delivery_header_is_an_id_only_on_request() {
    use github_vector::{BODY, SECRET, SIGNATURE};

    let verifier = || Verifier::github(secret(SECRET)).with_delivery_id().unwrap();
    let headers = |id| [("x-hub-signature-256", SIGNATURE), ("X-GitHub-Delivery", id)];
    let id = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    assert_eq!(verifier().verify(headers(id), BODY, at(0)).unwrap().message().id().as_str(), id);
    for (id, code) in [("", "verify.id"), ("a.b", "verify.id"), ("\0", "verify.id"), ("ü", "verify.id")] {
        assert_eq!(verifier().verify(headers(id), BODY, at(0)).unwrap_err().code(), code);
    }
    let long = "a".repeat(129);
    assert_eq!(verifier().verify(headers(&long), BODY, at(0)).unwrap_err().code(), "verify.header_length");
    let without = [("x-hub-signature-256", SIGNATURE)];
    assert_eq!(verifier().verify(without, BODY, at(0)).unwrap_err().code(), "verify.header_missing");
    for (verifier, provider) in [
        (Verifier::slack(secret(SECRET)), Provider::Slack),
        (Verifier::stripe(secret(SECRET)), Provider::Stripe),
    ] {
        assert_eq!(verifier.provider(), provider);
        assert_eq!(verifier.with_delivery_id().unwrap_err().code(), "verifier.no_delivery_id");
    }
}

#[test]
fn bodies_are_bounded_before_they_are_hashed() {
    use github_vector::{BODY, SECRET, SIGNATURE};

    let verifier = Verifier::github(secret(SECRET)).with_max_body_len(BODY.len() - 1);
    let refused = verifier.verify([("x-hub-signature-256", SIGNATURE)], BODY, at(0)).unwrap_err();
    assert_eq!(refused.code(), "verify.body_length");
}

#[test]
fn secrets_are_of_their_shape_and_show_nothing() {
    for (text, expected) in [
        ("", Err("sign.key_length")),
        ("x", Err("sign.key_length")),
        ("fifteen bytes..", Err("sign.key_length")),
        ("sixteen bytes...", Ok(())),
        ("sixteen bytes..\n", Err("sign.key_encoding")),
        ("\tsixteen bytes..", Err("sign.key_encoding")),
        ("sixteen\0bytes...", Err("sign.key_encoding")),
    ] {
        assert_eq!(ProviderSecret::parse(text).map(drop).map_err(|error| error.code()), expected, "{text:?}");
    }
    assert!(ProviderSecret::parse(&"x".repeat(256)).is_ok());
    assert_eq!(ProviderSecret::parse(&"x".repeat(257)).unwrap_err().code(), "sign.key_length");
    let shown = format!("{:?}", Verifier::github(secret(github_vector::SECRET)));
    assert!(!shown.contains("Everybody"), "{shown}");
}

#[test]
fn on_trial_the_finding_says_what_would_be_refused() {
    use github_vector::{BODY, SECRET, SIGNATURE};

    let trial = Verifier::github(secret(SECRET)).with_enforcement(Enforcement::ReportOnly);
    let good = [("x-hub-signature-256", SIGNATURE)];

    let passed = trial.decide(good, BODY, at(0));
    assert_eq!(passed.finding().to_string(), "passed verify.passed (webhook-verify/1, report only)");
    assert!(
        matches!(passed.into_result(), Ok(Received::Verified(message)) if *message.message().body() == BODY)
    );

    let refused = trial.decide(good, "Hello, Mallory!", at(0));
    assert_eq!(refused.finding().to_string(), "refused verify.signature (webhook-verify/1, report only)");
    assert_eq!(refused.refusal().map(|error| error.code()), Some("verify.signature"));
    assert!(refused.verified().is_none() && !format!("{refused:?}").contains("Mallory"));
    assert!(matches!(refused.into_result(), Ok(Received::Unverified("Hello, Mallory!"))));

    // `verify` gives no proof to anybody, and without a trial `decide` refuses.
    assert!(trial.verify(good, "Hello, Mallory!", at(0)).is_err());
    let enforced = Verifier::github(secret(SECRET)).with_tolerance(Duration::ZERO, Duration::ZERO).unwrap();
    let refused = enforced.decide(good, "Hello, Mallory!", at(0));
    assert_eq!(refused.finding().to_string(), "refused verify.signature (webhook-verify/1)");
    assert_eq!(refused.into_result().unwrap_err().code(), "verify.signature");
}
