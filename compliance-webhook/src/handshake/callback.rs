//! Consent that comes later, by a call to a URL of the sender's own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use compliance_core::class::Internal;
use compliance_core::clock::{Clock, Timestamp};
use compliance_core::event::{Actor, Event, EventKind, Sink};
use compliance_core::finding::{Outcome, Reason, ReasonCode};
use compliance_core::reason_code;
use subtle::ConstantTimeEq as _;
use url::Url;

use super::consent::{ConsentGrant, ConsentStore, EndpointDigest};
use super::{AllowedRate, HandshakeError, allowed_rate};
use crate::endpoint::WebhookEndpoint;
use crate::sign::SigningKey;
use crate::verify::RequestHead;

/// How long a callback can be called: a week, for an administrator to find it in a log.
pub const CALLBACK_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Where receivers grant their consent later, and what becomes of it (CloudEvents, HTTP 1.1 Web Hooks, §4.1.3
/// `WebHook-Request-Callback`).
///
/// With it, a [`Handshake`](super::Handshake) names a URL of this service in each request for consent. A receiver that
/// does not answer the request itself calls that URL, by GET or POST, any time in the next
/// [week](CALLBACK_LIFETIME); a `WebHook-Allowed-Rate` in the call says how often it wants to be sent to. The service
/// mounts [`accept`](Self::accept) there; with the feature `axum` or `actix-web`, [`ConsentGrant`] is an extractor.
///
/// ```
/// use std::sync::Arc;
/// use compliance_core::clock::SystemClock;
/// use compliance_core::random::SystemRandom;
/// use compliance_webhook::SigningKey;
/// use compliance_webhook::handshake::{ConsentCallbacks, Handshake, MemoryConsents};
///
/// let (key, store) = (SigningKey::generate(&SystemRandom)?, Arc::new(MemoryConsents::default()));
/// let url = "https://events.example.com/webhooks/consent";
/// let callbacks = ConsentCallbacks::new(url, key.clone(), store.clone(), Arc::new(SystemClock))?;
/// let handshake = Handshake::new("events.example.com")?.with_callbacks(callbacks);
///
/// let plain = ConsentCallbacks::new("http://events.example.com/", key, store, Arc::new(SystemClock));
/// assert_eq!(plain.unwrap_err().code(), "handshake.callback_url");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Security
/// Each URL is good for one endpoint and one call. Nobody makes one without the key: it carries an HMAC. Whoever reads
/// the receiver's log has it, as the standard means them to; so does whatever follows links there.
#[derive(Clone)]
pub struct ConsentCallbacks {
    url: Box<str>,
    key: SigningKey,
    store: Arc<dyn ConsentStore>,
    clock: Arc<dyn Clock>,
    lifetime: Duration,
    sink: Option<Arc<dyn Sink>>,
}

impl ConsentCallbacks {
    /// The longest URL, in bytes.
    pub const MAX_URL_LEN: usize = 512;
    /// How long a consent that came by callback counts, unless told otherwise: 30 days. It is then asked for again.
    pub const DEFAULT_CONSENT_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// `url` is where [`accept`](Self::accept) is mounted, as receivers reach it. `key` is for this and nothing else;
    /// all processes of one sender have the same, and a store that all of them see.
    ///
    /// # Errors
    /// `handshake.callback_url` unless that is an https URL as a parser writes it, without user info, query and
    /// fragment, of at most [`MAX_URL_LEN`](Self::MAX_URL_LEN) bytes.
    pub fn new(
        url: &str,
        key: SigningKey,
        store: Arc<dyn ConsentStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, HandshakeError> {
        let is_ours = url.len() <= Self::MAX_URL_LEN
            && Url::parse(url).is_ok_and(|parsed| {
                parsed.as_str() == url
                    && parsed.scheme() == "https"
                    && parsed.username().is_empty()
                    && parsed.password().is_none()
                    && parsed.query().is_none()
                    && parsed.fragment().is_none()
            });
        if is_ours {
            Ok(Self {
                url: url.into(),
                key,
                store,
                clock,
                lifetime: Self::DEFAULT_CONSENT_LIFETIME,
                sink: None,
            })
        } else {
            Err(HandshakeError::CallbackUrl)
        }
    }

    /// Lets a consent that came by callback count for longer or shorter.
    #[must_use]
    pub fn with_consent_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Records each consent before it counts, and each that was taken back: of which endpoint (the SHA-256 of its URL,
    /// in base64url), how often it wants to be sent to and until when. A consent that the sink does not take is none.
    #[must_use]
    pub fn with_sink(mut self, sink: Arc<dyn Sink>) -> Self {
        self.sink = Some(sink);
        self
    }

    /// The value of `WebHook-Request-Callback` for an endpoint that is being asked now. Within an hour it is the same,
    /// so that asking again makes no heap of them.
    #[must_use]
    pub fn url_for(&self, endpoint: &WebhookEndpoint) -> String {
        const HOUR: i64 = 3600;
        let until = self.clock.now().saturating_add(CALLBACK_LIFETIME).as_unix_seconds();
        let until = until.saturating_sub(until.rem_euclid(HOUR));
        let endpoint = EndpointDigest::of(endpoint);
        let (name, tag) = (URL_SAFE_NO_PAD.encode(endpoint.as_bytes()), self.tag(&endpoint, until));
        format!("{}?endpoint={name}&until={until}&key={}", self.url, URL_SAFE_NO_PAD.encode(tag))
    }

    /// Takes a call: grants what it grants, once. Answer with the grant, or with the error's
    /// [status](CallbackError::status).
    ///
    /// # Errors
    /// [`CallbackError`]: `handshake.callback_method` for anything but GET and POST, `handshake.callback` for a URL
    /// nobody was given, `handshake.callback_expired`, `handshake.callback_used`, `handshake.callback_rate` for a rate
    /// that is none, `handshake.callback_unavailable` when the store does not answer, or the sink. What is refused for
    /// its method or rate, or because one of them is away, can still be called.
    ///
    /// # Security
    /// Anybody can call it. Nothing is stored before the key is verified.
    pub async fn accept(&self, head: &RequestHead<'_>) -> Result<ConsentGrant, CallbackError> {
        if !matches!(head.method(), "GET" | "POST") {
            return Err(CallbackReason::Method.into());
        }
        let (endpoint, until) = self.read(head.target()).ok_or(CallbackReason::Unknown)?;
        let now = self.clock.now();
        if now >= until {
            return Err(CallbackReason::Expired.into());
        }
        let rate = granted_rate(head).ok_or(CallbackReason::Rate)?;
        let grant = ConsentGrant::new(endpoint, rate, until, now.saturating_add(self.lifetime));
        // Whoever calls again leaves no second record. Of two calls at the same time, both may leave one.
        match self.store.granted(&endpoint).await {
            Ok(kept) if kept.is_some_and(|kept| kept.callback() >= until) => {
                return Err(CallbackReason::Used.into());
            }
            Ok(_) => {}
            Err(_) => return Err(CallbackReason::Unavailable.into()),
        }
        self.record(EventKind::WebhookConsentGranted, Actor::Anonymous, &grant, now).await?;
        match self.store.grant(&grant).await {
            Ok(true) => Ok(grant),
            Ok(false) => Err(CallbackReason::Used.into()),
            Err(_) => Err(CallbackReason::Unavailable.into()),
        }
    }

    /// Takes back what an endpoint consented to, and with it every callback given out so far and in the next hour. A
    /// transport that has looked the consent up keeps to it for [a day](super::CONSENT_LIFETIME) at most; to stop at
    /// once, switch the endpoint off.
    ///
    /// # Errors
    /// `handshake.callback_unavailable` when the store does not answer, or the sink: then it is taken back without a
    /// record, and can be taken back again.
    pub async fn revoke(&self, endpoint: &WebhookEndpoint, actor: Actor) -> Result<(), CallbackError> {
        let (now, endpoint) = (self.clock.now(), EndpointDigest::of(endpoint));
        let kept = self.store.granted(&endpoint).await.map_err(|_| CallbackReason::Unavailable)?;
        let mut last = now.saturating_add(CALLBACK_LIFETIME);
        if let Some(kept) = kept {
            // A store keeps the later one of two.
            last = last.max(kept.callback().saturating_add(Duration::from_millis(1)));
        }
        let rate = kept.map_or(AllowedRate::Unlimited, |kept| kept.rate());
        let over = |until| ConsentGrant::new(endpoint, rate, last, until);
        // By no clock does it count again: neither one that is behind nor one that is set back.
        match self.store.grant(&over(Timestamp::UNIX_EPOCH)).await {
            Ok(true) => self.record(EventKind::WebhookConsentRevoked, actor, &over(now), now).await,
            Ok(false) | Err(_) => Err(CallbackReason::Unavailable.into()),
        }
    }

    async fn record(
        &self,
        kind: EventKind,
        actor: Actor,
        grant: &ConsentGrant,
        now: Timestamp,
    ) -> Result<(), CallbackError> {
        let Some(sink) = &self.sink else { return Ok(()) };
        let mut event = Event::builder(kind, Outcome::Passed, actor, now)
            .field("endpoint", Internal(URL_SAFE_NO_PAD.encode(grant.endpoint().as_bytes())))
            .field("until", Internal(grant.until()));
        if let AllowedRate::PerMinute(rate) = grant.rate() {
            event = event.field("rate", Internal(rate.get()));
        }
        let recording = event.build().map(|event| sink.record(event));
        let recording = recording.map_err(|_| CallbackReason::Unavailable)?;
        recording.await.map(drop).map_err(|_| CallbackReason::Unavailable.into())
    }

    /// The endpoint's grant, if it has one that still counts. A store that does not answer has none.
    #[cfg_attr(not(feature = "deliver"), expect(dead_code, reason = "only a transport asks"))]
    pub(crate) async fn granted(&self, endpoint: &WebhookEndpoint) -> Option<ConsentGrant> {
        let granted = self.store.granted(&EndpointDigest::of(endpoint)).await.ok().flatten()?;
        (self.clock.now() < granted.until()).then_some(granted)
    }

    /// Which endpoint a URL of [`url_for`](Self::url_for) is for, and until when it is good.
    fn read(&self, target: &str) -> Option<(EndpointDigest, Timestamp)> {
        let (_, query) = target.split_once('?')?;
        let (endpoint, rest) = query.strip_prefix("endpoint=")?.split_once("&until=")?;
        let (until, key) = rest.split_once("&key=")?;
        let endpoint = EndpointDigest::from_bytes(decode(endpoint)?);
        // As it is written, and no other way: a plain decimal number.
        let seconds: i64 = until.parse().ok().filter(|seconds: &i64| seconds.to_string() == until)?;
        let is_ours = bool::from(self.tag(&endpoint, seconds).ct_eq(&decode(key)?));
        is_ours.then(|| (endpoint, Timestamp::from_unix_seconds(seconds)))
    }

    fn tag(&self, endpoint: &EndpointDigest, until: i64) -> [u8; 32] {
        let text = [&endpoint.as_bytes()[..], &until.to_be_bytes()].concat();
        // INVARIANT: a message has digits here where this has `consent`.
        self.key.tag(b"callback", b"consent", &text)
    }
}

/// 32 bytes in base64url.
fn decode(text: &str) -> Option<[u8; 32]> {
    if text.len() != 43 {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// What the call says of the rate; `None` for doubt.
fn granted_rate(head: &RequestHead<'_>) -> Option<AllowedRate> {
    let mut values = head.fields().filter(|(name, _)| name.eq_ignore_ascii_case("webhook-allowed-rate"));
    match (values.next(), values.next()) {
        (value, None) => allowed_rate(value.map(|(_, value)| value)),
        _ => None,
    }
}

impl fmt::Debug for ConsentCallbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsentCallbacks").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A call granted nothing. Never carries any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no consent by callback: {reason}")]
pub struct CallbackError {
    reason: CallbackReason,
}

/// Why a call granted nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallbackReason {
    /// `403`: its time is over.
    #[error("the callback's time is over")]
    Expired,
    /// `405`: neither GET nor POST.
    #[error("the method is neither GET nor POST")]
    Method,
    /// `500`: the application's state has no callbacks.
    #[error("the application's state has no consent callbacks")]
    NoCallbacks,
    /// `400`: a rate that is none.
    #[error("the allowed rate is no positive number of requests a minute")]
    Rate,
    /// `503`: the store does not answer, or the sink does not record it.
    #[error("the store of consents or the sink does not answer")]
    Unavailable,
    /// `403`: nobody was given this URL.
    #[error("the callback is none that was given to anybody")]
    Unknown,
    /// `403`: it was called before, or a later one was.
    #[error("the callback was used before")]
    Used,
}

impl CallbackError {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> CallbackReason {
        self.reason
    }

    /// The exact code, for the operator.
    #[must_use]
    pub fn code(&self) -> &'static str {
        Reason::code(self).as_str()
    }

    /// The HTTP status to answer with.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.reason {
            CallbackReason::Expired | CallbackReason::Unknown | CallbackReason::Used => 403,
            CallbackReason::Method => 405,
            CallbackReason::NoCallbacks => 500,
            CallbackReason::Rate => 400,
            CallbackReason::Unavailable => 503,
        }
    }
}

impl Reason for CallbackError {
    fn code(&self) -> ReasonCode {
        match self.reason {
            CallbackReason::Expired => reason_code!("handshake.callback_expired"),
            CallbackReason::Method => reason_code!("handshake.callback_method"),
            CallbackReason::NoCallbacks => reason_code!("handshake.no_callbacks"),
            CallbackReason::Rate => reason_code!("handshake.callback_rate"),
            CallbackReason::Unavailable => reason_code!("handshake.callback_unavailable"),
            CallbackReason::Unknown => reason_code!("handshake.callback"),
            CallbackReason::Used => reason_code!("handshake.callback_used"),
        }
    }

    /// What may be told: `handshake.callback` for whatever is wrong with the URL.
    fn public_code(&self) -> ReasonCode {
        match self.reason {
            CallbackReason::Expired | CallbackReason::Used => reason_code!("handshake.callback"),
            _ => Reason::code(self),
        }
    }
}

impl From<CallbackReason> for CallbackError {
    fn from(reason: CallbackReason) -> Self {
        Self { reason }
    }
}
