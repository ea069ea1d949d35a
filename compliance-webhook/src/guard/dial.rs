//! From an endpoint to a TLS session with it: resolve, judge, connect, authenticate.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use compliance_core::address::{Nat64Prefix, canonical, outside};
use compliance_core::class::Internal;
use compliance_core::clock::Clock;
use compliance_core::event::{Actor, Event, EventKind, Recorded, Recorder, Sink};
use compliance_core::finding::{Finding, Outcome};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::nat64::Nat64Discovery;
use super::{Guard, GuardError, GuardedAddr, Resolve, SystemResolver};
use crate::deliver::{
    ClientCertificate, DeliverReason, Protocols, Timeouts, TlsRoots, TlsVersions, TransportError,
    client_config, server_name, tls_problem,
};
use crate::endpoint::{EndpointHost, WebhookEndpoint};

/// The way out of this crate, shared by the transport and the connector.
pub(crate) struct Dialer<R> {
    resolver: R,
    guard: Guard,
    clock: Arc<dyn Clock>,
    tls: TlsConnector,
    timeouts: Timeouts,
    recorder: Option<Arc<Recorder<Arc<dyn Sink>>>>,
    nat64: Nat64Discovery,
}

/// A [`Dialer`] in the making: what the transport's builder and the connector's have in common.
#[derive(Clone)]
pub(crate) struct DialerBuilder<R> {
    pub(crate) resolver: R,
    pub(crate) guard: Guard,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) roots: TlsRoots,
    pub(crate) versions: TlsVersions,
    pub(crate) protocols: Protocols,
    pub(crate) client_certificate: Option<ClientCertificate>,
    pub(crate) timeouts: Timeouts,
    pub(crate) recorder: Option<Arc<Recorder<Arc<dyn Sink>>>>,
}

impl DialerBuilder<SystemResolver> {
    /// System resolver, default guard, Mozilla's roots, TLS 1.3, HTTP/1.1.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            resolver: SystemResolver,
            guard: Guard::new(),
            clock,
            roots: TlsRoots::webpki(),
            versions: TlsVersions::default(),
            protocols: Protocols::Http1,
            client_certificate: None,
            timeouts: Timeouts::default(),
            recorder: None,
        }
    }
}

impl<R> DialerBuilder<R> {
    pub(crate) fn with_resolver<S>(self, resolver: S) -> DialerBuilder<S> {
        let Self { resolver: _, guard, clock, roots, versions, protocols, client_certificate, .. } = self;
        let Self { timeouts, recorder, .. } = self;
        DialerBuilder {
            resolver,
            guard,
            clock,
            roots,
            versions,
            protocols,
            client_certificate,
            timeouts,
            recorder,
        }
    }

    pub(crate) fn build(self) -> Result<Dialer<R>, TransportError> {
        if self.roots.is_empty() {
            return Err(TransportError::NoRoots);
        }
        let clock = Arc::clone(&self.clock);
        let config =
            client_config(self.roots, self.versions, self.protocols, self.client_certificate, clock)?;
        Ok(Dialer {
            resolver: self.resolver,
            guard: self.guard,
            clock: self.clock,
            tls: TlsConnector::from(Arc::new(config)),
            timeouts: self.timeouts,
            recorder: self.recorder,
            nat64: Nat64Discovery::default(),
        })
    }
}

impl<R> fmt::Debug for DialerBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialerBuilder")
            .field("guard", &self.guard)
            .field("roots", &self.roots)
            .field("versions", &self.versions)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

impl<R> Dialer<R> {
    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
}

impl<R: Resolve> Dialer<R> {
    /// Looks the endpoint's name up, once, and judges every answer.
    pub(crate) async fn resolve(
        &self,
        endpoint: &WebhookEndpoint,
    ) -> Result<Vec<GuardedAddr>, DeliverReason> {
        let looked_up = timeout(self.timeouts.resolve, self.look_up(endpoint)).await;
        let (answers, prefixes) = looked_up.map_err(|_| DeliverReason::ResolveTimeout)??;
        let checked = self.guard.judge(endpoint, &answers, prefixes.as_deref(), self.clock.now());
        self.record(endpoint, &checked);
        checked.map_err(|refused| DeliverReason::Guard(refused.reason()))
    }

    /// The name's addresses, and this network's NAT64 prefixes where they matter; `None` when nobody can say.
    async fn look_up(
        &self,
        endpoint: &WebhookEndpoint,
    ) -> Result<(Vec<IpAddr>, Option<Arc<[Nat64Prefix]>>), DeliverReason> {
        let (answers, literal) = match endpoint.host() {
            EndpointHost::Address(address) => (Vec::new(), Some(address)),
            EndpointHost::Name(name) => {
                (self.resolver.resolve(name).await.map_err(|_| DeliverReason::Resolve)?, None)
            }
        };
        // Only what may pass as an IPv6 address can turn out to be something else.
        let exempt = self.guard.trial.is_some() || endpoint.accepted_risk().is_some();
        let may_pass = |ip: IpAddr| outside(ip).is_ok() || (exempt && !ip.is_loopback());
        let translatable = |ip: &IpAddr| canonical(*ip).is_ipv6() && may_pass(*ip);
        let matters = answers.iter().chain(&literal).any(translatable)
            && self.guard.nat64_discovery
            && self.resolver.asks_dns();
        let prefixes = if matters {
            self.nat64.prefixes(&self.resolver, self.clock.now()).await
        } else {
            Some(Arc::default())
        };
        Ok((answers, prefixes))
    }

    /// Tries the addresses in order. A dead one gets its share of the time, so that the next has its turn.
    pub(crate) async fn connect(
        &self,
        guarded: &[GuardedAddr],
    ) -> Result<(TcpStream, SocketAddr), DeliverReason> {
        let started = Instant::now();
        let mut reason = DeliverReason::Connect;
        for (untried, address) in (1..=guarded.len()).rev().zip(guarded) {
            let left = self.timeouts.connect.saturating_sub(started.elapsed());
            let share = u32::try_from(untried).ok().and_then(|untried| left.checked_div(untried));
            match timeout(share.unwrap_or_default(), self.dial(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(refused @ DeliverReason::Guard(_))) => return Err(refused),
                Ok(Err(failed)) => reason = failed,
                Err(_) => reason = DeliverReason::ConnectTimeout,
            }
        }
        Err(reason)
    }

    // INVARIANT: the only place of the crate that opens a socket; it takes nothing but a `GuardedAddr`.
    async fn dial(&self, address: &GuardedAddr) -> Result<(TcpStream, SocketAddr), DeliverReason> {
        let guard = |refused: GuardError| DeliverReason::Guard(refused.reason());
        let target = address.socket_addr(self.clock.now()).map_err(guard)?;
        let stream = TcpStream::connect(target).await.map_err(|_| DeliverReason::Connect)?;
        let peer = stream.peer_addr().map_err(|_| DeliverReason::Connect)?;
        let local = stream.local_addr().map_err(|_| DeliverReason::Connect)?;
        address.check_socket(peer, local).map_err(guard)?;
        // Head and body go out in two writes; without this the second waits for an acknowledgement.
        stream.set_nodelay(true).map_err(|_| DeliverReason::Connect)?;
        Ok((stream, peer))
    }

    /// Authenticates the endpoint under its own name, whatever DNS said.
    pub(crate) async fn secure(
        &self,
        endpoint: &WebhookEndpoint,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, DeliverReason> {
        let name = server_name(endpoint).ok_or(DeliverReason::Request)?;
        let handshake = timeout(self.timeouts.tls, self.tls.connect(name, stream)).await;
        handshake
            .map_err(|_| DeliverReason::TlsTimeout)?
            .map_err(|error| DeliverReason::Tls(tls_problem(&error)))
    }

    fn record(&self, endpoint: &WebhookEndpoint, checked: &Result<Vec<GuardedAddr>, GuardError>) {
        if self.recorder.is_some() {
            self.record_finding(
                &self.guard.finding(checked),
                endpoint.accepted_risk().map(|risk| risk.approver()),
            );
        }
    }

    /// Hands a finding to the sink; one that rests on an accepted risk says so each time.
    pub(crate) fn record_finding(&self, finding: &Finding, approver: Option<&str>) {
        let Some(recorder) = &self.recorder else { return };
        let approver = approver.filter(|_| finding.outcome() == Outcome::Passed);
        let kind = if approver.is_some() { EventKind::CheckRiskAccepted } else { EventKind::CheckDecided };
        let mut event =
            Event::builder(kind, finding.outcome(), Actor::System, self.clock.now()).finding(finding);
        if let Some(approver) = approver {
            event = event.field("approver", Internal(approver));
        }
        // An event of a finding and an approver is within every limit.
        if let Ok(event) = event.build() {
            match recorder.record(event) {
                // The sink has taken it over; an attempt does not wait for the disk.
                Recorded::Counted | Recorded::Sent(_) => {}
            }
        }
    }
}
