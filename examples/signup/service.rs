//! Puts the blocks together: what is checked by which policy, where it is recorded, who is told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{Redirect, Response};
use axum::routing::get;
use compliance_auth::password::service::PasswordService;
use compliance_auth::password::{PasswordHasher, PasswordPolicy, PasswordProfile};
use compliance_auth::redirect::{RedirectPolicy, Scheme};
use compliance_core::clock::Clock;
use compliance_core::event::{PassPolicy, Recorder, Sink};
use compliance_core::finding::RiskAcceptance;
use compliance_core::id::TenantId;
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, KeyRing};
use compliance_geo::client_ip::{ClientIp, Source, TrustedProxies};
use compliance_geo::embargo::{Embargo, Policy};
use compliance_geo::integrations::Refusal;
use compliance_geo::integrations::axum::peer;
use compliance_geo::integrations::tower::{ClientIpLayer, EmbargoLayer};
use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey, SignedCheckpoint, VerifyingKey};
use compliance_log::correlation::CorrelationLayer;
use compliance_log::key_store::FileKeyStore;
use compliance_webhook::deliver::{HttpsTransport, TlsRoots};
use compliance_webhook::endpoint::EndpointPolicy;
use compliance_webhook::outbox::sqlite::{OutboxOptions, durable_options};
use compliance_webhook::outbox::{Dispatcher, EndpointBook, EndpointId, Running, SqliteOutbox};
use compliance_webhook::sign::SigningKey;
use sqlx::SqlitePool;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::accounts::Accounts;
use crate::receiver::Receiver;
use crate::{Failure, keys, pages, signup};

/// Accounts and outbox, in the data folder.
pub(crate) const DATABASE: &str = "lantern.sqlite";

/// How long requests under way may take when the service stops.
const GRACE: Duration = Duration::from_secs(5);

/// How long a request may take to arrive: a client that drips holds a connection, no more.
const ARRIVAL: Duration = Duration::from_secs(10);

/// A sign-up form is small; nothing larger is read.
const MAX_BODY_LEN: usize = 16 * 1024;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// What differs between the scripted round and the service that stays.
pub(crate) struct ServiceConfig {
    pub(crate) data: PathBuf,
    pub(crate) listen: Option<SocketAddr>,
    /// What the stand-in for a proxy reports of a visitor who comes without one: the reader's own browser.
    pub(crate) visitor: Option<IpAddr>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What the handlers share.
pub(crate) struct App {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: SystemRandom,
    pub(crate) passwords: PasswordService,
    pub(crate) redirects: RedirectPolicy,
    pub(crate) accounts: Accounts,
    pub(crate) recorder: Arc<Recorder<Arc<dyn Sink>>>,
}

/// A running service with the customer's receiver beside it.
pub(crate) struct Service {
    address: SocketAddr,
    pub(crate) receiver: Receiver,
    trail: Arc<AuditLog>,
    dispatcher: Running,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

/// What is left of the trail when the service has stopped: where it lies, and the two things that make it evidence.
pub(crate) struct ClosedTrail {
    pub(crate) key: VerifyingKey,
    pub(crate) anchor: SignedCheckpoint,
}

impl Service {
    pub(crate) async fn start(config: ServiceConfig) -> Result<Self, Failure> {
        let ServiceConfig { data, listen, visitor, clock } = config;
        keys::create_private_dir(&data)?;
        let tenant = TenantId::new("lantern")?;

        // What happened, on disk before anybody is told that it did.
        let seed = keys::load_or_create(&data.join("trail.key"))?;
        let key = CheckpointKey::from_seed("lantern.example/audit", seed)?;
        // A demonstration: its trail may go with the container it runs in, and its receipts say so there. A service leaves
        // this declaration out: then nothing but a disk opens.
        let config = AuditConfig::new(key).on_any_storage();
        let (trail, _) = AuditLog::open(data.join("trail"), config, Arc::clone(&clock))?;
        let trail = Arc::new(trail);
        let sink: Arc<dyn Sink> = Arc::<AuditLog>::clone(&trail);
        let recorder = Arc::new(Recorder::new(Arc::clone(&sink), PassPolicy::default()));

        // The customer's endpoint. It is on this very machine, and somebody has to answer for that.
        let signing_key = SigningKey::generate(&SystemRandom)?;
        let receiver = Receiver::start(signing_key.clone(), Arc::clone(&clock)).await?;
        let until = clock.now().saturating_add(Duration::from_secs(24 * 60 * 60));
        let accepted = RiskAcceptance::new("demo-owner", "the bundled receiver runs on this host", until)?;
        let endpoints =
            EndpointPolicy::new().with_ports(&[receiver.port])?.dangerous(accepted).allow_loopback().build();

        // One SQLite file for accounts and outbox: they commit together.
        let pool = SqlitePool::connect_with(durable_options(&data.join(DATABASE))).await?;
        Accounts::migrate(&pool).await?;
        let outbox =
            SqliteOutbox::open(&pool, OutboxOptions::default().with_clock(Arc::clone(&clock))).await?;
        let kek = KeyEncryptionKey::new(&keys::load_or_create(&data.join("secrets.key"))?)?;
        let key_store = FileKeyStore::open(data.join("keys"), KeyRing::new(kek))?;
        let book = EndpointBook::new(endpoints, Arc::new(key_store)).with_clock(Arc::clone(&clock));
        let endpoint = register(&pool, &outbox, &book, &tenant, &receiver, &signing_key, &*clock).await?;
        let transport = HttpsTransport::builder(Arc::clone(&clock))
            .with_roots(TlsRoots::none().with_pem(&receiver.ca_pem)?)
            .build()?;
        let dispatcher = Dispatcher::new(outbox.clone(), book, transport, Arc::clone(&sink))
            .with_clock(Arc::clone(&clock))
            .spawn();

        let listener = listen_on(listen).await?;
        let address = listener.local_addr()?;
        let app = Arc::new(App {
            clock: Arc::clone(&clock),
            random: SystemRandom,
            passwords: PasswordService::new(
                PasswordPolicy::of(PasswordProfile::Nist80063b4),
                PasswordHasher::builder().build(),
                Arc::clone(&recorder),
                Arc::clone(&clock),
                Arc::new(SystemRandom),
            ),
            // A real service names its public https origin here; this one is its own.
            redirects: RedirectPolicy::builder(&format!("http://{address}/signup"))
                .schemes([Scheme::Http])
                .default_target("/welcome")
                .build()?,
            accounts: Accounts {
                pool,
                outbox,
                least: trail.durability(),
                trail: sink,
                clock: Arc::clone(&clock),
                tenant,
                endpoint,
            },
            recorder: Arc::clone(&recorder),
        });
        let mut router = router(app, clock, recorder)?;
        if let Some(visitor) = visitor {
            router = router.layer(middleware::map_request(move |request| stand_in_proxy(request, visitor)));
        }
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(async move {
            axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
                .with_graceful_shutdown(async { drop(stopped.await) })
                .await
        });
        Ok(Self { address, receiver, trail, dispatcher, stop, server })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Finishes what is under way within a grace, hands back what is not, and closes the trail.
    pub(crate) async fn stop(self) -> Result<ClosedTrail, Failure> {
        drop(self.stop);
        let mut server = self.server;
        if timeout(GRACE, &mut server).await.is_err() {
            // Somebody keeps a connection open and says nothing.
            server.abort();
        }
        self.dispatcher.shutdown().await?;
        let key = self.trail.verifying_key().clone();
        let anchor = match Arc::try_unwrap(self.trail) {
            Ok(trail) => trail.close()?,
            // A request that outlived the grace still holds it; what is in it is signed all the same.
            Err(shared) => shared.checkpoint()?,
        };
        Ok(ClosedTrail { key, anchor })
    }
}

/// Registers the receiver; after a restart it is the same customer under a new address with a new secret.
async fn register(
    pool: &SqlitePool,
    outbox: &SqliteOutbox,
    book: &EndpointBook,
    tenant: &TenantId,
    receiver: &Receiver,
    key: &SigningKey,
    clock: &dyn Clock,
) -> Result<EndpointId, Failure> {
    let url = book.policy().check_at(&receiver.url, clock.now())?;
    let known: Option<(String,)> =
        sqlx::query_as("SELECT id FROM customer_endpoint").fetch_optional(pool).await?;
    if let Some((id,)) = known {
        let id = EndpointId::parse(&id)?;
        book.move_to(outbox, tenant, &id, &url).await?;
        book.rotate(outbox, tenant, &id, key).await?;
        return Ok(id);
    }
    let id = book.register(outbox, tenant, &url, key).await?;
    sqlx::query("INSERT INTO customer_endpoint (id) VALUES (?)").bind(id.as_str()).execute(pool).await?;
    Ok(id)
}

fn router(
    app: Arc<App>,
    clock: Arc<dyn Clock>,
    recorder: Arc<Recorder<Arc<dyn Sink>>>,
) -> Result<Router, Failure> {
    // The proxy in front runs on this machine; what it says of the visitor's address counts, nobody else's word does.
    let behind_proxy = ClientIp::new(TrustedProxies::parse(["127.0.0.0/8"])?, Source::XForwardedFor)?;
    let embargo = Embargo::builder().policy(Policy::Us).build()?;
    Ok(Router::new()
        .route("/", get(|| async { Redirect::to("/signup") }))
        .route("/signup", get(signup::show).post(signup::submit))
        .route("/welcome", get(|| async { pages::welcome() }))
        .route("/dashboard", get(|| async { pages::dashboard() }))
        .fallback(|| async { pages::not_found() })
        .layer(DefaultBodyLimit::max(MAX_BODY_LEN))
        .layer(middleware::from_fn(arrive_in_time))
        // The layer added last sees the request first.
        .layer(EmbargoLayer::new(embargo, Arc::clone(&clock)).recording(Arc::clone(&recorder)))
        .layer(ClientIpLayer::new(behind_proxy, peer).recording(recorder, clock))
        .layer(middleware::map_response(show_refusal))
        .layer(CorrelationLayer::new(SystemRandom))
        .layer(middleware::map_response(pages::secure_headers))
        .with_state(app))
}

/// Gives up on a request whose body does not arrive.
async fn arrive_in_time(request: Request, next: Next) -> Response {
    timeout(ARRIVAL, next.run(request))
        .await
        .unwrap_or_else(|_| pages::form_not_whole(StatusCode::REQUEST_TIMEOUT))
}

/// Shows a page where a layer refused.
async fn show_refusal(response: Response) -> Response {
    match response.extensions().get::<Refusal>() {
        Some(refusal) => pages::refused(refusal),
        None => response,
    }
}

/// Does what the proxy of a real service does. Never do it in a real service: there is one.
async fn stand_in_proxy(mut request: Request, visitor: IpAddr) -> Request {
    if let Ok(visitor) = HeaderValue::from_str(&visitor.to_string()) {
        request.headers_mut().entry(FORWARDED_FOR).or_insert(visitor);
    }
    request
}

async fn listen_on(address: Option<SocketAddr>) -> std::io::Result<TcpListener> {
    if let Some(address) = address {
        return TcpListener::bind(address).await;
    }
    match TcpListener::bind((Ipv4Addr::LOCALHOST, 8080)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await,
    }
}
