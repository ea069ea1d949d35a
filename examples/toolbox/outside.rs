//! Addresses and endpoints: is it outside, may we dial it?

use compliance_core::address;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
pub struct Address {
    input: String,
}

/// `{"input":"ip"}` → `{"verdict":"allow"|"deny","reason"?}`
pub fn address(line: Address) -> Value {
    let Ok(ip) = line.input.parse() else {
        return json!({"verdict": "deny", "reason": "address.malformed"});
    };
    match address::outside(ip) {
        Ok(_) => json!({"verdict": "allow"}),
        Err(error) => json!({"verdict": "deny", "reason": error.code()}),
    }
}
