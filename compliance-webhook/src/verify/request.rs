//! A request as a verifier sees it, whatever the server.

use std::fmt;

use compliance_core::clock::Timestamp;

use super::headers::MAX_FIELDS;
use super::{ProviderScheme, Verifier, VerifyDecision};

/// What a request says before its body: method, target and headers.
///
/// Most schemes look at nothing but the headers; HTTP message signatures cover the rest, too.
#[derive(Clone)]
pub struct RequestHead<'a> {
    method: &'a str,
    target: &'a str,
    authority: Option<&'a str>,
    fields: Vec<(&'a str, &'a [u8])>,
}

impl<'a> RequestHead<'a> {
    /// `method` and `target` (path and query) as on the wire, the headers in order.
    #[must_use]
    pub fn new(
        method: &'a str,
        target: &'a str,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        // One more than a verifier takes is enough for it to refuse.
        let fields = fields.into_iter().take(MAX_FIELDS.saturating_add(1)).collect();
        Self { method, target, authority: None, fields }
    }

    /// What HTTP/2 calls `:authority`; the `Host` header otherwise.
    #[must_use]
    pub fn with_authority(mut self, authority: &'a str) -> Self {
        self.authority = Some(authority);
        self
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// Path and query.
    #[must_use]
    pub fn target(&self) -> &'a str {
        self.target
    }

    /// Host and port, as the client said them; `None` without, or with more than one `Host`.
    #[must_use]
    pub fn authority(&self) -> Option<&'a str> {
        if self.authority.is_some() {
            return self.authority;
        }
        let mut hosts = self.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host"));
        match (hosts.next(), hosts.next()) {
            (Some((_, host)), None) => std::str::from_utf8(host).ok(),
            _ => None,
        }
    }

    /// The headers.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + '_ {
        self.fields.iter().copied()
    }
}

impl fmt::Debug for RequestHead<'_> {
    /// Without the headers' values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("fields", &self.fields.len())
            .finish_non_exhaustive()
    }
}

/// Verifies requests with bodies of type `B`.
///
/// Each [`Verifier`] does. A receiver with several senders brings its own, which looks at the
/// [target](RequestHead::target) and asks the verifier of that sender.
pub trait VerifyRequest<B>: fmt::Debug + Send + Sync {
    /// The longest body, in bytes: stop reading a request there.
    fn max_body_len(&self) -> usize;

    /// Says what it would say to the request, the way it is rolled out.
    fn decide_request(&self, head: &RequestHead<'_>, body: B, now: Timestamp) -> VerifyDecision<B>;
}

impl<B: AsRef<[u8]>> VerifyRequest<B> for Verifier {
    fn max_body_len(&self) -> usize {
        self.max_body_len()
    }

    fn decide_request(&self, head: &RequestHead<'_>, body: B, now: Timestamp) -> VerifyDecision<B> {
        self.decide(head.fields(), body, now)
    }
}

impl<B: AsRef<[u8]>> VerifyRequest<B> for Verifier<ProviderScheme> {
    fn max_body_len(&self) -> usize {
        self.max_body_len()
    }

    fn decide_request(&self, head: &RequestHead<'_>, body: B, now: Timestamp) -> VerifyDecision<B> {
        self.decide(head.fields(), body, now)
    }
}
