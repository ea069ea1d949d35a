//! HTTP message signatures, receiving side.

use compliance_core::clock::Timestamp;
use sfv::{BareItem, Dictionary, FieldType as _, InnerList, ListEntry, Parser};
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use super::headers::MAX_FIELDS;
use super::key::ReceiverKey;
use super::{
    Accepted, MAX_ED25519_SIGNATURES, MAX_SIGNATURE_HEADER_LEN, MAX_SIGNATURES, Message, RequestHead,
    Verified, Verifier, VerifierError, VerifyDecision, VerifyError, VerifyReason, VerifyRequest,
};
use crate::sign::{Base, HEADER_ID, KeyId, MessageId, TAG, Target, normal_authority};

/// HTTP message signatures (RFC 9421) over a body's digest (RFC 9530), in the profile that
/// [`HttpSigner`](crate::sign::HttpSigner) signs.
///
/// Of the signatures in a request, those tagged `webhook` count, four at most. One has to cover `@method`,
/// `content-digest`, `webhook-id`, `content-type` where there is one, and either `@target-uri` or `@authority`, `@path`
/// and `@query`; it may cover other headers. It says when it was `created` and under which `keyid`, maybe when it
/// `expires`. `hmac-sha256` goes with shared secrets, `ed25519` with public keys; an `alg` must say the same.
///
/// Headers come once and in the canonical form of structured fields (RFC 9651 §4.1), which every serializer writes: no
/// two parsers read them differently. Component parameters (`sf`, `bs`, `key`, `req`, `tr`) are refused.
#[derive(Clone, Debug)]
pub struct HttpSignatures {
    authority: Box<str>,
    keys: Vec<(KeyId, ReceiverKey)>,
}

impl Verifier<HttpSignatures> {
    /// The most keys known to one verifier.
    pub const MAX_KEY_IDS: usize = 64;

    /// Accepts requests to `authority` signed under one key. That is the host, and the port where it is not 443, under
    /// which senders know this receiver: what a request says of itself could be another receiver's that has the same
    /// key.
    ///
    /// ```
    /// use compliance_webhook::EndpointPolicy;
    /// use compliance_webhook::deliver::ContentType;
    /// use compliance_webhook::sign::{HttpSigner, KeyId, MessageId, SigningKey};
    /// use compliance_webhook::verify::{RequestHead, Verifier};
    ///
    /// let (key, key_id) = (SigningKey::from_bytes(&[7; 32])?, KeyId::parse("billing")?);
    /// let endpoint = EndpointPolicy::new().check("https://hooks.example.net/in?team=7")?;
    /// let now = "2026-11-21T12:00:00Z".parse()?;
    /// let signer = HttpSigner::new(key_id.clone(), key.clone());
    /// let signed = signer.sign(&endpoint, &MessageId::parse("msg_1")?, &ContentType::JSON, now, b"{}")?;
    ///
    /// let mut fields = vec![("content-type", "application/json"), ("webhook-id", "msg_1")];
    /// fields.extend(signed.pairs());
    /// let request = |target| {
    ///     let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
    ///     RequestHead::new("POST", target, fields).with_authority("hooks.example.net")
    /// };
    /// let verifier = Verifier::http_signatures("hooks.example.net", key_id, key)?;
    /// assert!(verifier.verify(&request("/in?team=7"), "{}", now).is_ok());
    /// assert_eq!(verifier.verify(&request("/in?team=8"), "{}", now).unwrap_err().code(), "verify.signature");
    /// assert_eq!(verifier.verify(&request("/in?team=7"), "[]", now).unwrap_err().code(), "verify.digest");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `verifier.authority` when that is no host and port: empty, or with anything but letters, digits and `.-:[]`.
    pub fn http_signatures(
        authority: &str,
        key_id: KeyId,
        key: impl Into<ReceiverKey>,
    ) -> Result<Self, VerifierError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(plain) {
            return Err(VerifierError::Authority);
        }
        let authority = normal_authority(authority).into();
        Ok(Self::with_scheme(HttpSignatures { authority, keys: vec![(key_id, key.into())] }))
    }

    /// Accepts requests signed under another key, too. One id may have several keys.
    ///
    /// # Errors
    /// `verifier.too_many_keys` past [`MAX_KEY_IDS`](Self::MAX_KEY_IDS).
    pub fn with_key(mut self, key_id: KeyId, key: impl Into<ReceiverKey>) -> Result<Self, VerifierError> {
        if self.scheme.keys.len() >= Self::MAX_KEY_IDS {
            return Err(VerifierError::TooManyKeys);
        }
        self.scheme.keys.push((key_id, key.into()));
        Ok(self)
    }

    /// Verifies one request. `body` is the bytes as they came, before any parser.
    ///
    /// One pass over the body per digest in `Content-Digest`, after the signature.
    ///
    /// # Errors
    /// [`VerifyError`] with the rule that refused; of several signatures, the last one's.
    ///
    /// # Security
    /// Everything but the keys and `now` may be hostile. Behind a proxy, the head's authority has to be what the client
    /// said; that it came over https is taken for granted.
    pub fn verify<B: AsRef<[u8]>>(
        &self,
        head: &RequestHead<'_>,
        body: B,
        now: Timestamp,
    ) -> Result<Verified<Message<B>>, VerifyError> {
        self.conclude(self.check(head, body.as_ref(), now), body)
    }

    /// Says what [`verify`](Self::verify) would, the way the verifier is
    /// [rolled out](Verifier::with_enforcement).
    pub fn decide<B: AsRef<[u8]>>(
        &self,
        head: &RequestHead<'_>,
        body: B,
        now: Timestamp,
    ) -> VerifyDecision<B> {
        self.weigh(self.check(head, body.as_ref(), now), body)
    }

    fn check(
        &self,
        head: &RequestHead<'_>,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<Accepted, VerifyReason> {
        if head.fields().count() > MAX_FIELDS {
            return Err(VerifyReason::HeaderLength);
        }
        let authority = head.authority().ok_or(VerifyReason::HeaderMissing)?;
        if *normal_authority(authority) != *self.scheme.authority {
            return Err(VerifyReason::Authority);
        }
        let inputs = dictionary(field(head, "signature-input")?)?;
        let signatures = dictionary(field(head, "signature")?)?;
        if inputs.len() > MAX_SIGNATURES {
            return Err(VerifyReason::TooManySignatures);
        }
        let id = field(head, HEADER_ID)?;
        let id = MessageId::parse(id).map_err(|_| VerifyReason::Id)?;
        let digest = field(head, "content-digest")?;
        self.check_body_len(payload)?;

        let mut left = MAX_ED25519_SIGNATURES;
        let mut outcome = Err(VerifyReason::Scheme);
        for (label, entry) in &inputs {
            let ListEntry::InnerList(input) = entry else { return Err(VerifyReason::SignatureSyntax) };
            let tag = input.params.get("tag").and_then(BareItem::as_string);
            if tag.is_none_or(|tag| tag.as_str() != TAG) {
                continue;
            }
            left = left.checked_sub(1).ok_or(VerifyReason::TooManySignatures)?;
            let signature = signatures.get(label).and_then(bytes).ok_or(VerifyReason::SignatureSyntax)?;
            outcome = self.check_signature(head, input, signature, now);
            if outcome.is_ok() {
                break;
            }
        }
        let sent = outcome?;
        check_digest(digest, payload)?;
        Ok(Accepted { id, sent: Some(sent) })
    }

    fn check_signature(
        &self,
        head: &RequestHead<'_>,
        input: &InnerList,
        signature: &[u8],
        now: Timestamp,
    ) -> Result<Timestamp, VerifyReason> {
        let params = Params::read(input)?;
        let sent = self.window.check_seconds(params.created, now)?;
        if params.expires.is_some_and(|expires| expires < params.created) {
            return Err(VerifyReason::TimestampSyntax);
        }
        if params.expires.is_some_and(|expires| expires < now.as_unix_seconds()) {
            return Err(VerifyReason::TimestampTooOld);
        }
        check_coverage(head, input)?;
        let base = signature_base(head, input)?;
        let mut known = self.scheme.keys.iter().filter(|(key_id, key)| {
            key_id.as_str() == params.key_id && params.algorithm.is_none_or(|name| name == key.algorithm())
        });
        let mut tried = false;
        let holds = known.any(|(_, key)| {
            tried = true;
            key.matches(base.as_bytes(), signature)
        });
        match (holds, tried) {
            (true, _) => Ok(sent),
            (false, true) => Err(VerifyReason::Signature),
            (false, false) => Err(VerifyReason::KeyId),
        }
    }
}

impl<B: AsRef<[u8]>> VerifyRequest<B> for Verifier<HttpSignatures> {
    fn max_body_len(&self) -> usize {
        self.max_body_len()
    }

    fn decide_request(&self, head: &RequestHead<'_>, body: B, now: Timestamp) -> VerifyDecision<B> {
        self.decide(head, body, now)
    }
}

/// The parameters of one signature (RFC 9421 §2.3).
struct Params<'a> {
    created: i64,
    expires: Option<i64>,
    key_id: &'a str,
    algorithm: Option<&'a str>,
}

impl<'a> Params<'a> {
    fn read(input: &'a InnerList) -> Result<Self, VerifyReason> {
        let (mut created, mut expires, mut key_id, mut algorithm) = (None, None, None, None);
        let seconds =
            |value: &BareItem| value.as_integer().map(i64::from).ok_or(VerifyReason::TimestampSyntax);
        for (name, value) in &input.params {
            let text = || value.as_string().map(|text| text.as_str()).ok_or(VerifyReason::SignatureSyntax);
            match name.as_str() {
                "created" => created = Some(seconds(value)?),
                "expires" => expires = Some(seconds(value)?),
                "keyid" => key_id = Some(text()?),
                "alg" => algorithm = Some(text()?),
                "nonce" | "tag" => drop(text()?),
                // What it means nobody here knows.
                _ => return Err(VerifyReason::SignatureSyntax),
            }
        }
        let created = created.ok_or(VerifyReason::TimestampSyntax)?;
        Ok(Self { created, expires, key_id: key_id.ok_or(VerifyReason::KeyId)?, algorithm })
    }
}

/// The names a signature covers.
fn components(input: &InnerList) -> impl Iterator<Item = Result<&str, VerifyReason>> {
    input.items.iter().map(|item| {
        let name = item.bare_item.as_string().filter(|_| item.params.is_empty());
        name.map(|name| name.as_str()).ok_or(VerifyReason::Component)
    })
}

/// Whether a signature covers what makes a message this one.
fn check_coverage(head: &RequestHead<'_>, input: &InnerList) -> Result<(), VerifyReason> {
    let covered = components(input).collect::<Result<Vec<_>, _>>()?;
    let covers = |name: &str| covered.contains(&name);
    let target = covers("@target-uri") || ["@authority", "@path", "@query"].into_iter().all(covers);
    let typed = head.fields().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let content = ["@method", "content-digest", HEADER_ID].into_iter().all(covers);
    if target && content && (!typed || covers("content-type")) {
        Ok(())
    } else {
        Err(VerifyReason::Component)
    }
}

/// What was signed, if this request is what it was signed for.
fn signature_base(head: &RequestHead<'_>, input: &InnerList) -> Result<String, VerifyReason> {
    let authority = head.authority().ok_or(VerifyReason::HeaderMissing)?;
    let target = Target::new(head.method(), authority, head.target());
    let mut base = Base::default();
    let mut seen = Vec::new();
    for name in components(input) {
        let name = name?;
        if seen.contains(&name) || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(VerifyReason::Component);
        }
        seen.push(name);
        if name.starts_with('@') {
            base.push(name, &target.component(name).ok_or(VerifyReason::Component)?);
        } else {
            base.push(name, field(head, name)?);
        }
    }
    // What was canonical in the header is printed as it came.
    let one = Dictionary::from_iter([(sfv::key_ref("s").to_owned(), ListEntry::InnerList(input.clone()))]);
    let printed = one.serialize().unwrap_or_default();
    Ok(base.finish(printed.strip_prefix("s=").unwrap_or_default()))
}

/// A header that comes once, in plain ASCII, without the white space around it (RFC 9421 §2.1).
fn field<'a>(head: &RequestHead<'a>, name: &str) -> Result<&'a str, VerifyReason> {
    let mut values = head.fields().filter(|(found, _)| found.eq_ignore_ascii_case(name));
    let (_, value) = values.next().ok_or(VerifyReason::HeaderMissing)?;
    if values.next().is_some() {
        return Err(VerifyReason::HeaderDuplicate);
    }
    if value.len() > MAX_SIGNATURE_HEADER_LEN {
        return Err(VerifyReason::HeaderLength);
    }
    let plain = value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    let text = std::str::from_utf8(value).ok().filter(|_| plain).ok_or(VerifyReason::SignatureSyntax)?;
    Ok(text.trim_matches([' ', '\t']))
}

/// A dictionary in canonical form: names that come twice, other white space and the like are not.
fn dictionary(text: &str) -> Result<Dictionary, VerifyReason> {
    let parsed: Dictionary = Parser::new(text).parse().map_err(|_| VerifyReason::SignatureSyntax)?;
    if parsed.serialize().as_deref() == Some(text) { Ok(parsed) } else { Err(VerifyReason::SignatureSyntax) }
}

fn bytes(entry: &ListEntry) -> Option<&[u8]> {
    match entry {
        ListEntry::Item(item) if item.params.is_empty() => item.bare_item.as_byte_sequence(),
        _ => None,
    }
}

/// Every digest of a known algorithm is the body's, and there is one (RFC 9530 §2).
fn check_digest(text: &str, payload: &[u8]) -> Result<(), VerifyReason> {
    let mut known = false;
    for (algorithm, entry) in &dictionary(text)? {
        let expected: &[u8] = match algorithm.as_str() {
            "sha-256" => &Sha256::digest(payload),
            "sha-512" => &Sha512::digest(payload),
            _ => continue,
        };
        known = true;
        let found = bytes(entry).ok_or(VerifyReason::Digest)?;
        if !bool::from(expected.ct_eq(found)) {
            return Err(VerifyReason::Digest);
        }
    }
    if known { Ok(()) } else { Err(VerifyReason::Digest) }
}

#[cfg(test)]
mod tests {
    use super::{InnerList, ListEntry, RequestHead, bytes, dictionary, signature_base};
    use crate::sign::{Ed25519Key, SenderKey, SigningKey};
    use crate::verify::ReceiverKey;

    /// RFC 9421, appendix B.2: the request, as far as these signatures look at it.
    fn request<'a>(input: &'a str, signature: &'a str) -> RequestHead<'a> {
        let fields = [
            ("Host", "example.com"),
            ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("Content-Type", "application/json"),
            ("Content-Length", "18"),
            ("Signature-Input", input),
            ("Signature", signature),
        ];
        let fields = fields.into_iter().map(|(name, value)| (name, value.as_bytes()));
        RequestHead::new("POST", "/foo?param=Value&Pet=dog", fields)
    }

    fn check(
        label: &str,
        input: &str,
        signature: &str,
        base: &str,
        sender: &SenderKey,
        receiver: &ReceiverKey,
    ) {
        let inputs = dictionary(input).unwrap();
        let Some(ListEntry::InnerList(covered)) = inputs.get(label) else { panic!("{label}") };
        let covered: &InnerList = covered;
        let built = signature_base(&request(input, signature), covered).unwrap();
        assert_eq!(built, base);
        let signatures = dictionary(signature).unwrap();
        let expected = signatures.get(label).and_then(bytes).unwrap();
        assert_eq!(sender.sign_bytes(built.as_bytes()), expected);
        assert!(receiver.matches(built.as_bytes(), expected));
        for at in 0..expected.len() {
            let mut wrong = expected.to_vec();
            wrong[at] ^= 1;
            assert!(!receiver.matches(built.as_bytes(), &wrong));
        }
        assert!(!receiver.matches(built.as_bytes(), &expected[1..]));
    }

    /// RFC 9421, appendix B.2.5.
    #[test]
    fn a_request_signed_using_hmac_sha256() {
        let key = SigningKey::parse(
            "whsec_uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==",
        )
        .unwrap();
        check(
            "sig-b25",
            "sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"",
            "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
            "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\
             \"@authority\": example.com\n\
             \"content-type\": application/json\n\
             \"@signature-params\": (\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"",
            &key.clone().into(),
            &key.into(),
        );
    }

    /// RFC 9421, appendix B.2.6.
    #[test]
    fn a_request_signed_using_ed25519() {
        let key = Ed25519Key::parse("whsk_n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU=").unwrap();
        let covered = "(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\")";
        let params = format!("{covered};created=1618884473;keyid=\"test-key-ed25519\"");
        check(
            "sig-b26",
            &format!("sig-b26={params}"),
            "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
            &format!(
                "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\
                 \"@method\": POST\n\
                 \"@path\": /foo\n\
                 \"@authority\": example.com\n\
                 \"content-type\": application/json\n\
                 \"content-length\": 18\n\
                 \"@signature-params\": {params}"
            ),
            &key.clone().into(),
            &key.verifying_key().into(),
        );
    }
}
