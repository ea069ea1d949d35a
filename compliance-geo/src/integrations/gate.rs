//! What the layers of every framework share: look at a request, record, and only then answer.

use std::fmt;
use std::sync::Arc;

use compliance_core::class::Internal;
use compliance_core::clock::Clock;
use compliance_core::event::{
    Actor, AuditReceipt, Durability, Event, EventBuilder, EventKind, RecordError, Recorded, Recorder,
    Recording, Sink,
};
use compliance_core::finding::{Enforcement, Explain, Finding, Outcome, PolicyVersion, Reason, ReasonCode};
use compliance_core::reason_code;
use compliance_core::request::{AddressSource, ClientAddress, Correlation, Principal, Transport};

use super::Refusal;
use crate::client_ip::{ClientIp, EdgeCountry, Headers, Peer};
use crate::embargo::{Embargo, Programme, Screening, ServablePlace, Verdict};
use crate::transport::{Hsts, TransportRule};

/// A request and what other layers left with it, whatever the framework.
pub(crate) trait Exchange {
    type Headers: Headers + ?Sized;

    fn headers(&self) -> &Self::Headers;
    fn peer(&self) -> Option<Peer>;
    fn get<T: Clone + Send + Sync + 'static>(&self) -> Option<T>;
    fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T);
    fn remove<T: Send + Sync + 'static>(&mut self);
}

/// Where decisions are recorded, and by which clock.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) recorder: Arc<Recorder<Arc<dyn Sink>>>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// One check before a service.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) check: Check,
    pub(crate) ledger: Option<Ledger>,
    // The embargo check says by itself whether it only reports.
    pub(crate) enforcement: Enforcement,
}

#[derive(Clone)]
pub(crate) enum Check {
    ClientIp(ClientIp),
    Embargo(Arc<dyn Screening>, Arc<dyn Clock>),
    Transport(TransportRule, Transport),
}

/// Left with a request that an embargo check let pass without a proof, because it only reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LetPass;

/// What a layer can be told about its `gate`, whatever the framework.
macro_rules! settings {
    (client_ip $layer:ident) => {
        settings!($layer, "Lets everybody pass, without a client address where there is none: how a check is rolled out.");
    };
    (transport $layer:ident) => {
        settings!(
            $layer,
            "Lets plaintext pass, marked as such in the extensions: how a check is rolled out. No response gets HSTS, \
             over TLS neither: browsers would keep to it long after the trial."
        );
    };
    (embargo $layer:ident) => {
        impl $layer {
            /// Records what it decides, see [`integrations`](super#records).
            #[must_use]
            pub fn recording(mut self, recorder: Arc<Recorder<Arc<dyn Sink>>>) -> Self {
                self.gate.ledger = Some(Ledger { recorder, clock: Arc::clone(&self.clock) });
                self
            }
        }
    };
    ($layer:ident, $report_only:literal) => {
        impl $layer {
            /// Records what it decides, see [`integrations`](super#records).
            #[must_use]
            pub fn recording(mut self, recorder: Arc<Recorder<Arc<dyn Sink>>>, clock: Arc<dyn Clock>) -> Self {
                self.gate.ledger = Some(Ledger { recorder, clock });
                self
            }

            #[doc = $report_only]
            #[must_use]
            pub fn report_only(mut self) -> Self {
                self.gate.enforcement = Enforcement::ReportOnly;
                self
            }
        }
    };
}
pub(super) use settings;

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Passage {
    /// The service is called; `hsts` goes on its response.
    Enter { hsts: Option<Hsts> },
    /// It is not, and the answer can be given.
    Refused(Refusal),
    /// It is not, and the answer waits for the record.
    Recorded(Pending),
}

/// A refusal whose record is under way.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) recording: Recording,
    refusal: Refusal,
    event: Box<Event>,
}

impl Pending {
    /// The answer, once the sink has answered.
    pub(crate) fn settle(&self, answer: Result<AuditReceipt, RecordError>) -> Refusal {
        let kept = answer.is_ok_and(|receipt| receipt.redeem(&self.event, Durability::Memory).is_ok());
        if kept { self.refusal } else { Refusal::Unrecorded }
    }
}

/// What a check found, before anybody is told.
struct Decision {
    refusal: Option<Refusal>,
    enforcement: Enforcement,
    hsts: Option<Hsts>,
    event: Option<EventBuilder>,
}

impl Gate {
    pub(crate) fn new(check: Check) -> Self {
        Self { check, ledger: None, enforcement: Enforcement::Enforce }
    }

    /// Looks at a request; adds what it established to it.
    pub(crate) fn pass(&self, request: &mut impl Exchange) -> Passage {
        let decision = match &self.check {
            Check::ClientIp(rule) => self.client_ip(rule, request),
            Check::Embargo(embargo, clock) => self.embargo(&embargo.current(), &**clock, request),
            Check::Transport(rule, connection) => self.transport(rule, *connection, request),
        };
        let recorded = self.record(decision.event);
        match (decision.refusal, decision.enforcement) {
            (None, _) => Passage::Enter { hsts: decision.hsts },
            (Some(_), Enforcement::ReportOnly) => {
                if matches!(self.check, Check::Embargo(..)) {
                    request.insert(LetPass);
                }
                Passage::Enter { hsts: decision.hsts }
            }
            (Some(refusal), Enforcement::Enforce) => match recorded {
                // Counted is not recorded.
                Ok(None) if self.ledger.is_some() => Passage::Refused(Refusal::Unrecorded),
                Ok(None) => Passage::Refused(refusal),
                Ok(Some((recording, event))) => Passage::Recorded(Pending { recording, refusal, event }),
                Err(Unbuilt) => Passage::Refused(Refusal::Unrecorded),
            },
        }
    }

    fn client_ip(&self, rule: &ClientIp, request: &mut impl Exchange) -> Decision {
        let found = match request.peer() {
            None => Err(Refusal::PeerUnknown),
            Some(peer) => rule
                .find(peer, request.headers())
                .and_then(|client| Ok((client, rule.edge_country(peer, request.headers())?)))
                .map_err(|error| Refusal::ClientIp(error.kind())),
        };
        let refusal = match found {
            Ok((client, edge)) => {
                request.insert(client);
                match edge {
                    Some(edge) => request.insert(edge),
                    None => request.remove::<EdgeCountry>(),
                }
                None
            }
            Err(refusal) => {
                // While it only reports, what an earlier layer established must not stand for this one's answer.
                request.remove::<ClientAddress>();
                request.remove::<EdgeCountry>();
                Some(refusal)
            }
        };
        let event = self.finding(&FOUND, refusal, request, None);
        Decision { refusal, enforcement: self.enforcement, hsts: None, event }
    }

    fn transport(
        &self,
        rule: &TransportRule,
        connection: Transport,
        request: &mut impl Exchange,
    ) -> Decision {
        let peer = request.peer();
        let transport = peer.map(|peer| rule.find(peer, connection, request.headers()));
        let refusal = match transport {
            None => Some(Refusal::PeerUnknown),
            Some(Transport::Plaintext) => Some(Refusal::Plaintext),
            Some(Transport::Tls) => None,
        };
        request.insert(transport.unwrap_or(Transport::Plaintext));
        // A peer that is no proxy of ours is the client, should nobody have looked for it yet.
        let client = match peer {
            Some(Peer::Ip(ip)) if !rule.proxies().contains(ip) => {
                Some(ClientAddress::new(ip, AddressSource::Peer))
            }
            _ => None,
        };
        let event = self.finding(&ENCRYPTED, refusal, request, client);
        // RFC 6797 §7.2: never over plaintext. Nor while it only reports: browsers would keep to it long after.
        let is_due = transport == Some(Transport::Tls) && self.enforcement == Enforcement::Enforce;
        let hsts = is_due.then(|| rule.hsts());
        Decision { refusal, enforcement: self.enforcement, hsts, event }
    }

    fn embargo(&self, embargo: &Embargo, clock: &dyn Clock, request: &mut impl Exchange) -> Decision {
        let enforcement = embargo.enforcement();
        // Nor must another policy's proof.
        request.remove::<Arc<ServablePlace>>();
        request.remove::<LetPass>();
        let Some(client) = request.get::<ClientAddress>() else {
            let refusal = Refusal::ClientUnknown;
            let event = self.ledger.as_ref().map(|ledger| {
                let finding = Finding::for_reason(Outcome::Refused, &refusal, embargo.policy().clone());
                event_of(&finding.with_enforcement(enforcement), ledger, request, None)
            });
            return Decision { refusal: Some(refusal), enforcement, hsts: None, event };
        };
        let verdict = match request.get::<EdgeCountry>() {
            Some(edge) => embargo.screen_with_edge(client.ip(), edge, clock.now()),
            None => embargo.screen(client.ip(), clock.now()),
        };
        let event = self.ledger.as_ref().map(|ledger| verdict_event(&verdict, ledger, request));
        let refusal = match verdict {
            Verdict::Servable(place) => {
                request.insert(Arc::new(place));
                None
            }
            Verdict::Embargoed(place) => Some(Refusal::Embargoed(place.reason())),
            Verdict::Review(place) => Some(Refusal::Review(place.reason())),
        };
        Decision { refusal, enforcement, hsts: None, event }
    }

    fn finding(
        &self,
        passed: &Passed,
        refusal: Option<Refusal>,
        request: &impl Exchange,
        client: Option<ClientAddress>,
    ) -> Option<EventBuilder> {
        let ledger = self.ledger.as_ref()?;
        let policy = PolicyVersion::new(passed.policy, env!("CARGO_PKG_VERSION"));
        let finding = match refusal {
            Some(refusal) => Finding::for_reason(Outcome::Refused, &refusal, policy),
            None => Finding::passed(passed.code, policy),
        };
        Some(event_of(&finding.with_enforcement(self.enforcement), ledger, request, client))
    }

    /// Hands the event over. Answers what a refusal has to wait for.
    fn record(&self, event: Option<EventBuilder>) -> Result<Option<(Recording, Box<Event>)>, Unbuilt> {
        let (Some(ledger), Some(event)) = (&self.ledger, event) else { return Ok(None) };
        let event = event.build().map_err(|_| Unbuilt)?;
        Ok(match ledger.recorder.record(event.clone()) {
            Recorded::Counted => None,
            Recorded::Sent(recording) => Some((recording, Box::new(event))),
        })
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.check {
            Check::ClientIp(rule) => rule.fmt(f),
            Check::Embargo(embargo, _) => embargo.current().fmt(f),
            Check::Transport(rule, connection) => write!(f, "{rule:?} on {connection:?}"),
        }
    }
}

/// A check that is no policy of its own, and the code of its passes.
struct Passed {
    policy: &'static str,
    code: ReasonCode,
}

const FOUND: Passed = Passed { policy: "client-ip", code: reason_code!("client_ip.found") };
const ENCRYPTED: Passed = Passed { policy: "transport", code: reason_code!("transport.tls") };

/// The event says nothing that fits: a mistake of this crate, and no reason to let a refusal go without a record.
struct Unbuilt;

/// The longest list of programmes, reasons or voices in an event, in bytes; the rest is cut.
const MAX_LIST_LEN: usize = 512;

fn verdict_event(verdict: &Verdict, ledger: &Ledger, request: &impl Exchange) -> EventBuilder {
    let kind = match verdict.accepted_risk() {
        Some(_) => EventKind::CheckRiskAccepted,
        None => EventKind::CheckDecided,
    };
    let mut event = event(kind, &verdict.finding(), ledger, request, None);
    if let Some(accepted) = verdict.accepted_risk() {
        event = event
            .field("approver", Internal(accepted.approver()))
            .field("acceptance", Internal(accepted.reason()));
    }
    // Nobody asks why somebody was served, unless at a risk.
    if verdict.accepted_risk().is_some() || !matches!(verdict, Verdict::Servable(_)) {
        event = listed(event, "reasons", verdict.reasons().map(|reason| reason.code()));
        event = listed(event, "programmes", verdict.programmes().map(Programme::id));
        event = listed(event, "voices", verdict.voices());
    }
    listed(event, "stale", verdict.stale_snapshots())
}

fn listed(
    event: EventBuilder,
    name: &'static str,
    items: impl IntoIterator<Item = impl fmt::Display>,
) -> EventBuilder {
    let list = list(items);
    if list.is_empty() { event } else { event.field(name, Internal(list)) }
}

fn event_of(
    finding: &Finding,
    ledger: &Ledger,
    request: &impl Exchange,
    client: Option<ClientAddress>,
) -> EventBuilder {
    event(EventKind::CheckDecided, finding, ledger, request, client)
}

/// What every event of a check says.
fn event(
    kind: EventKind,
    finding: &Finding,
    ledger: &Ledger,
    request: &impl Exchange,
    client: Option<ClientAddress>,
) -> EventBuilder {
    let mut event = Event::builder(kind, finding.outcome(), Actor::Anonymous, ledger.clock.now());
    event = event.finding(finding);
    if let Some(principal) = request.get::<Principal>() {
        event = event.principal(&principal);
    }
    if let Some(client) = request.get::<ClientAddress>().or(client) {
        event = event.client(&client);
    }
    if let Some(correlation) = request.get::<Correlation>() {
        event = event.correlation(correlation);
    }
    event
}

fn list(items: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let mut text = String::new();
    for item in items {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&item.to_string());
    }
    while text.len() > MAX_LIST_LEN {
        text.pop();
    }
    text
}
