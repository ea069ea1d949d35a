//! The service: three checks before one handler, and the trail behind them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use compliance_core::clock::Clock;
use compliance_core::event::{FieldValueKind, PassPolicy, Recorder, Sink};
use compliance_core::request::Transport;
use compliance_geo::client_ip::{ClientIp, Source, TrustedProxies};
use compliance_geo::embargo::{Embargo, Policy, ServablePlace};
use compliance_geo::integrations::axum::{Servable, peer};
use compliance_geo::integrations::tower::{ClientIpLayer, EmbargoLayer, TransportLayer};
use compliance_geo::transport::{SchemeSource, TransportRule};
use compliance_log::audit::segment::records;
use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Failure;

pub(crate) struct ServiceConfig {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) report_only: bool,
}

pub(crate) struct Service {
    address: SocketAddr,
    clock: Arc<dyn Clock>,
    recorder: Arc<Recorder<Arc<dyn Sink>>>,
    folder: TempDir,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

/// The trail of a service that has stopped.
pub(crate) struct ClosedTrail(TempDir);

impl Service {
    pub(crate) async fn start(config: ServiceConfig) -> Result<Self, Failure> {
        let ServiceConfig { clock, listen, report_only } = config;
        // A real service keeps folder and key, and declares no storage; here both go with the program.
        let folder = TempDir::new()?;
        let key = CheckpointKey::from_seed("geo.example/audit", [7; 32])?;
        let (trail, _) =
            AuditLog::open(folder.path(), AuditConfig::new(key).on_any_storage(), Arc::clone(&clock))?;
        let recorder = Recorder::new(Arc::new(trail) as Arc<dyn Sink>, PassPolicy::default());
        let recorder = Arc::new(recorder);

        let listener = TcpListener::bind(listen.unwrap_or((Ipv4Addr::LOCALHOST, 0).into())).await?;
        let address = listener.local_addr()?;
        let router = router(Arc::clone(&clock), Arc::clone(&recorder), report_only)?;
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(async move {
            axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
                .with_graceful_shutdown(async { drop(stopped.await) })
                .await
        });
        Ok(Self { address, clock, recorder, folder, stop, server })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Finishes what is under way and writes down what was only counted.
    pub(crate) async fn stop(self) -> Result<ClosedTrail, Failure> {
        drop(self.stop);
        self.server.await??;
        self.recorder.flush(self.clock.now());
        // The layers went with the server; the trail closes with its last owner.
        drop(self.recorder);
        Ok(ClosedTrail(self.folder))
    }
}

impl ClosedTrail {
    /// One line per record: how it ended, why, from which network, under which programmes.
    pub(crate) fn lines(&self) -> Result<Vec<String>, Failure> {
        let mut lines = Vec::new();
        for record in records(self.0.path())? {
            let record = record?;
            let event = record.event();
            let field = |name: &str| {
                let field = event.fields().iter().find(|field| field.name() == name)?;
                match field.value() {
                    FieldValueKind::Plain { value, .. } => Some(value),
                    _ => None,
                }
            };
            let mut line = format!("{} {}", event.kind(), event.outcome());
            if let Some(reason) = event.reason() {
                line.push_str(&format!(" {reason}"));
            }
            if let Some(network) = event.client() {
                line.push_str(&format!(" from {network}"));
            }
            for name in ["code", "count", "programmes"] {
                if let Some(value) = field(name) {
                    line.push_str(&format!(" {name}={value}"));
                }
            }
            lines.push(line);
        }
        Ok(lines)
    }
}

fn router(
    clock: Arc<dyn Clock>,
    recorder: Arc<Recorder<Arc<dyn Sink>>>,
    report_only: bool,
) -> Result<Router, Failure> {
    // The proxy in front runs on this machine; what it says counts, nobody else's word does.
    let proxies = TrustedProxies::parse(["127.0.0.0/8"])?;
    let client_ip = ClientIp::new(proxies.clone(), Source::XForwardedFor)?;
    let transport = TransportRule::new(proxies, SchemeSource::XForwardedProto)?;
    let embargo = Embargo::builder().policy(Policy::Us).policy(Policy::Eu);
    let embargo = if report_only { embargo.report_only() } else { embargo }.build()?;

    let mut client_ip =
        ClientIpLayer::new(client_ip, peer).recording(Arc::clone(&recorder), Arc::clone(&clock));
    let mut transport = TransportLayer::new(transport, Transport::Plaintext, peer)
        .recording(Arc::clone(&recorder), Arc::clone(&clock));
    if report_only {
        (client_ip, transport) = (client_ip.report_only(), transport.report_only());
    }
    Ok(Router::new()
        .route("/", get(welcome))
        .route("/download", if report_only { get(download_on_trial) } else { get(download) })
        // The layer added last sees the request first.
        .layer(EmbargoLayer::new(embargo, clock).recording(recorder))
        .layer(transport)
        .layer(client_ip))
}

/// Open to everybody whom the layers let pass, also while they only report.
async fn welcome() -> &'static str {
    "welcome\n"
}

/// The handler that must not run without the proof: it does not compile without it.
async fn download(Servable(place): Servable) -> String {
    hand_over(&place)
}

/// The same handler while the checks are rolled out: it is `None` for whom they would have refused.
async fn download_on_trial(place: Option<Servable>) -> String {
    match place {
        Some(Servable(place)) => hand_over(&place),
        None => "here you are, from wherever\n".to_owned(),
    }
}

fn hand_over(place: &ServablePlace) -> String {
    let country = place.country().map_or("an unknown country".to_owned(), |country| country.to_string());
    format!("here you are, in {country}, under {}\n", place.policy())
}
