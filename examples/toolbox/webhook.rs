//! Standard Webhooks, both sides.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compliance_core::clock::Timestamp;
use compliance_webhook::sign::{MessageId, SenderKey, Signer};
use compliance_webhook::verify::{ReceiverKey, Verifier};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
pub(crate) struct Unsigned {
    id: String,
    timestamp: i64,
    #[serde(flatten)]
    payload: Payload,
    secret: String,
}

#[derive(Deserialize)]
struct Payload {
    payload: Option<String>,
    payload_base64: Option<String>,
}

impl Payload {
    fn bytes(self) -> Result<Vec<u8>, &'static str> {
        match (self.payload, self.payload_base64) {
            (Some(text), None) => Ok(text.into_bytes()),
            (None, Some(encoded)) => STANDARD.decode(encoded).map_err(|_| "toolbox.payload_base64"),
            _ => Err("toolbox.payload"),
        }
    }
}

/// `{"id","timestamp","payload"|"payload_base64","secret"}` → the three headers, or `{"verdict":"refused","reason"}`
pub(crate) fn sign(line: Unsigned) -> Value {
    match make_signature(line) {
        Ok(headers) => headers,
        Err(reason) => json!({"verdict": "refused", "reason": reason}),
    }
}

fn make_signature(line: Unsigned) -> Result<Value, &'static str> {
    let payload = line.payload.bytes()?;
    let id = MessageId::parse(&line.id).map_err(|e| e.code())?;
    let signer = Signer::new(SenderKey::parse(&line.secret).map_err(|e| e.code())?);
    let now = time(line.timestamp).ok_or("toolbox.timestamp")?;
    let signed = signer.sign(&id, now, &payload).map_err(|e| e.code())?;
    Ok(signed.pairs().into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect())
}

#[derive(Deserialize)]
pub(crate) struct Signed {
    headers: BTreeMap<String, String>,
    #[serde(flatten)]
    payload: Payload,
    secrets: Vec<String>,
    now: i64,
}

/// `{"headers":{…},"payload"|"payload_base64","secrets":[…],"now"}` → `{"verdict":"verified"|"refused","reason"?}`
pub(crate) fn verify(line: Signed) -> Value {
    match check_signature(line) {
        Ok(()) => json!({"verdict": "verified"}),
        Err(reason) => json!({"verdict": "refused", "reason": reason}),
    }
}

fn check_signature(line: Signed) -> Result<(), &'static str> {
    let payload = line.payload.bytes()?;
    let mut keys = line.secrets.iter().map(|secret| ReceiverKey::parse(secret));
    let first = keys.next().ok_or("toolbox.secrets")?.map_err(|e| e.code())?;
    let mut verifier = Verifier::new(first);
    for key in keys {
        verifier = verifier.with_key(key.map_err(|e| e.code())?).map_err(|e| e.code())?;
    }
    let now = time(line.now).ok_or("toolbox.now")?;
    verifier.verify(&line.headers, payload, now).map(drop).map_err(|e| e.code())
}

/// `None` for seconds no timestamp can hold, which saturate otherwise.
fn time(seconds: i64) -> Option<Timestamp> {
    let time = Timestamp::from_unix_seconds(seconds);
    (time.as_unix_seconds() == seconds).then_some(time)
}
