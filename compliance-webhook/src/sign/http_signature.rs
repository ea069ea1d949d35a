//! HTTP message signatures, sending side.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compliance_core::clock::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{HEADER_ID, KeyId, MessageId, SenderKey, SignError, SignErrorKind};
use crate::deliver::ContentType;
use crate::endpoint::WebhookEndpoint;

/// What the signatures of this profile are tagged with (RFC 9421 §2.3, `tag`).
pub(crate) const TAG: &str = "webhook";
/// The name of the last line of what is signed.
const PARAMS: &str = "@signature-params";
/// The label of the one signature a sender makes.
const LABEL: &str = "webhook";

/// Signs requests as RFC 9421 has it, under one key: `hmac-sha256` or `ed25519`, whichever the key is for.
///
/// Covered are `@method`, `@authority`, `@path`, `@query`, `content-digest` (RFC 9530, `sha-256`), `content-type` and
/// `webhook-id`, and the time of signing; the tag is `webhook`. Standard Webhooks signs the message; this signs its
/// way, too, so that it cannot be sent to another path or host under the same key.
///
/// ```
/// use compliance_webhook::EndpointPolicy;
/// use compliance_webhook::deliver::ContentType;
/// use compliance_webhook::sign::{HttpSigner, KeyId, MessageId, SigningKey};
///
/// let signer = HttpSigner::new(KeyId::parse("billing")?, SigningKey::from_bytes(&[7; 32])?);
/// let endpoint = EndpointPolicy::new().check("https://hooks.example.net/in?team=7")?;
/// let now = "2026-11-21T12:00:00Z".parse()?;
/// let signed = signer.sign(&endpoint, &MessageId::parse("msg_1")?, &ContentType::JSON, now, b"{}")?;
/// assert_eq!(signed.content_digest(), "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:");
/// assert!(signed.signature_input().ends_with(";created=1795262400;keyid=\"billing\";tag=\"webhook\""));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct HttpSigner {
    key: SenderKey,
    key_id: KeyId,
    lifetime: Option<Duration>,
}

impl HttpSigner {
    /// Signs under one key.
    #[must_use]
    pub fn new(key_id: KeyId, key: impl Into<SenderKey>) -> Self {
        Self { key: key.into(), key_id, lifetime: None }
    }

    /// Says until when each signature is good, in whole seconds. Without, the receiver's tolerance decides.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Signs one attempt, a POST made at `at`.
    ///
    /// # Errors
    /// `sign.timestamp` when `at` is before 1970.
    pub fn sign(
        &self,
        endpoint: &WebhookEndpoint,
        id: &MessageId,
        content_type: &ContentType,
        at: Timestamp,
        payload: &[u8],
    ) -> Result<HttpSignedHeaders, SignError> {
        if at < Timestamp::UNIX_EPOCH {
            return Err(SignErrorKind::Timestamp.into());
        }
        let target = Target::new("POST", endpoint.authority(), endpoint.path_and_query());
        let content_digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(payload)));
        let mut base = Base::default();
        for name in ["@method", "@authority", "@path", "@query"] {
            base.push(name, &target.component(name).unwrap_or_default());
        }
        base.push("content-digest", &content_digest);
        base.push("content-type", content_type.as_str());
        base.push(HEADER_ID, id.as_str());
        let mut params = format!("({});created={}", base.names, at.as_unix_seconds());
        if let Some(lifetime) = self.lifetime {
            let expires = at.saturating_add(lifetime).as_unix_seconds();
            params.push_str(&format!(";expires={expires}"));
        }
        params.push_str(&format!(";keyid=\"{}\";tag=\"{TAG}\"", self.key_id.as_str()));
        let signature = self.key.sign_bytes(base.finish(&params).as_bytes());
        Ok(HttpSignedHeaders {
            content_digest,
            signature_input: format!("{LABEL}={params}"),
            signature: format!("{LABEL}=:{}:", STANDARD.encode(signature)),
        })
    }
}

/// The headers of one signed attempt, besides `content-type` and `webhook-id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSignedHeaders {
    content_digest: String,
    signature_input: String,
    signature: String,
}

impl HttpSignedHeaders {
    /// The value of `content-digest`.
    #[must_use]
    pub fn content_digest(&self) -> &str {
        &self.content_digest
    }

    /// The value of `signature-input`.
    #[must_use]
    pub fn signature_input(&self) -> &str {
        &self.signature_input
    }

    /// The value of `signature`.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// Names and values, as they go on the wire.
    #[must_use]
    pub fn pairs(&self) -> [(&'static str, &str); 3] {
        [
            ("content-digest", self.content_digest()),
            ("signature-input", self.signature_input()),
            ("signature", self.signature()),
        ]
    }
}

/// What a request is addressed to.
pub(crate) struct Target<'a> {
    method: &'a str,
    authority: String,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Of a request over https; `target` is path and query.
    pub(crate) fn new(method: &'a str, authority: &str, target: &'a str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        Self { method, authority: normal_authority(authority), path, query }
    }

    /// The value of a derived component (RFC 9421 §2.2), of those that a request has without parameters.
    pub(crate) fn component(&self, name: &str) -> Option<String> {
        let query = || format!("?{}", self.query.unwrap_or_default());
        Some(match name {
            "@method" => self.method.to_owned(),
            "@authority" => self.authority.clone(),
            "@path" => self.path.to_owned(),
            "@query" => query(),
            "@target-uri" => {
                let query = if self.query.is_some() { query() } else { String::new() };
                format!("https://{}{}{query}", self.authority, self.path)
            }
            _ => return None,
        })
    }
}

/// Lower case, without the default port of https (RFC 9421 §2.2.3).
pub(crate) fn normal_authority(authority: &str) -> String {
    authority.strip_suffix(":443").unwrap_or(authority).to_ascii_lowercase()
}

/// What is signed (RFC 9421 §2.5), line by line.
#[derive(Default)]
pub(crate) struct Base {
    text: String,
    names: String,
}

impl Base {
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        if !self.names.is_empty() {
            self.names.push(' ');
        }
        self.names.push('"');
        self.names.push_str(name);
        self.names.push('"');
        self.line(name, value);
        self.text.push('\n');
    }

    pub(crate) fn finish(mut self, params: &str) -> String {
        self.line(PARAMS, params);
        self.text
    }

    fn line(&mut self, name: &str, value: &str) {
        for part in ["\"", name, "\": ", value] {
            self.text.push_str(part);
        }
    }
}
