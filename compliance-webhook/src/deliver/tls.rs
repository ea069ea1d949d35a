//! Whom to trust and how to speak.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::{Clock, Timestamp};
use rustls::client::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{AlertDescription, CertificateError, RootCertStore, SupportedProtocolVersion};

use secrecy::{ExposeSecret as _, SecretString};

use super::{TlsProblem, TransportError};
use crate::endpoint::{EndpointHost, WebhookEndpoint};

/// Which protocol versions are offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsVersions {
    /// TLS 1.3 (RFC 8446) alone. The default.
    #[default]
    Modern,
    /// TLS 1.2 (RFC 5246) with forward secrecy and authenticated ciphers, too: what RFC 9325 §3.1.1 still
    /// requires general-purpose software to have.
    Intermediate,
}

impl TlsVersions {
    fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Modern => MODERN,
            Self::Intermediate => INTERMEDIATE,
        }
    }
}

static MODERN: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
static INTERMEDIATE: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// The certificate authorities an endpoint's certificate may chain to.
#[derive(Clone)]
pub struct TlsRoots(RootCertStore);

impl TlsRoots {
    /// Mozilla's list, compiled in from the crate `webpki-roots`: the same on every machine, renewed with the
    /// dependency.
    #[must_use]
    pub fn webpki() -> Self {
        Self(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
    }

    /// The operating system's list, as it is now. Renewed with the system; read again with each call.
    ///
    /// # Errors
    /// `deliver.no_roots` when the system has none that can be read.
    ///
    /// # Security
    /// Whoever administers the machine decides, `SSL_CERT_FILE` and `SSL_CERT_DIR` included, as do interception proxies
    /// that installed an authority of their own.
    #[cfg(feature = "platform-roots")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "platform-roots")))]
    pub fn platform() -> Result<Self, TransportError> {
        let mut roots = RootCertStore::empty();
        // Some systems have one or two that no strict parser takes; the others count.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() { Err(TransportError::NoRoots) } else { Ok(Self(roots)) }
    }

    /// Nobody. Add an authority, or every endpoint is refused.
    #[must_use]
    pub fn none() -> Self {
        Self(RootCertStore::empty())
    }

    /// Trusts the authorities of a PEM file, too.
    ///
    /// # Errors
    /// `deliver.certificate` when there is no certificate in it or one is none.
    ///
    /// # Security
    /// Such an authority may vouch for every host this transport talks to, public ones included.
    pub fn with_pem(mut self, pem: &str) -> Result<Self, TransportError> {
        let before = self.0.len();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|_| TransportError::Certificate)?;
            self.0.add(certificate).map_err(|_| TransportError::Certificate)?;
        }
        if self.0.len() == before { Err(TransportError::Certificate) } else { Ok(self) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for TlsRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsRoots({})", self.0.len())
    }
}

/// Which versions of HTTP are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocols {
    Http1,
    #[cfg(feature = "http2")]
    Http1And2,
}

/// What this sender shows to endpoints that ask who connects: a certificate with its chain, and its key.
///
/// `Debug` shows nothing of the key.
#[derive(Clone)]
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl ClientCertificate {
    /// Reads both from PEM: the chain with the certificate itself first, and a PKCS #8, PKCS #1 or SEC 1 key.
    ///
    /// # Errors
    /// `deliver.certificate` when there is no certificate or one is none, `deliver.private_key` when there is no key.
    pub fn from_pem(chain: &str, key: &SecretString) -> Result<Self, TransportError> {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(TransportError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes());
        Ok(Self { chain, key: Arc::new(key.map_err(|_| TransportError::PrivateKey)?) })
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCertificate({}, [redacted])", self.chain.len())
    }
}

pub(crate) fn client_config(
    roots: TlsRoots,
    versions: TlsVersions,
    protocols: Protocols,
    certificate: Option<ClientCertificate>,
    clock: Arc<dyn Clock>,
) -> Result<ClientConfig, TransportError> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_details(provider, Arc::new(CertificateTime(clock)))
        .with_protocol_versions(versions.list())
        .map_err(|_| TransportError::Tls)?
        .with_root_certificates(roots.0);
    let mut config = match certificate {
        None => config.with_no_client_auth(),
        Some(ClientCertificate { chain, key }) => {
            config.with_client_auth_cert(chain, key.clone_key()).map_err(|_| TransportError::PrivateKey)?
        }
    };
    config.alpn_protocols = match protocols {
        Protocols::Http1 => vec![b"http/1.1".to_vec()],
        #[cfg(feature = "http2")]
        Protocols::Http1And2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(config)
}

/// Certificates are judged by the same clock as everything else.
#[derive(Debug)]
struct CertificateTime(Arc<dyn Clock>);

impl TimeProvider for CertificateTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since_epoch: Duration = self.0.now().saturating_since(Timestamp::UNIX_EPOCH);
        Some(UnixTime::since_unix_epoch(since_epoch))
    }
}

/// The name the certificate must be for (RFC 9525): the endpoint's, never one that DNS said.
pub(crate) fn server_name(endpoint: &WebhookEndpoint) -> Option<ServerName<'static>> {
    match endpoint.host() {
        EndpointHost::Address(address) => Some(ServerName::IpAddress(address.into())),
        EndpointHost::Name(name) => ServerName::try_from(name.to_owned()).ok(),
    }
}

/// The TLS error under an HTTP one: in TLS 1.3, an endpoint refuses a client's certificate after the handshake.
pub(crate) fn problem_under(error: &hyper::Error) -> Option<TlsProblem> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let io = error.downcast_ref::<io::Error>();
        if let Some(io) = io.filter(|io| io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())) {
            return Some(problem(io));
        }
        source = error.source();
    }
    None
}

/// Sorts a failed handshake by what its operator has to change.
pub(crate) fn problem(error: &io::Error) -> TlsProblem {
    use rustls::Error;

    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(certificate)) => match certificate {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsProblem::Expired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsProblem::Name
            }
            CertificateError::BadSignature | CertificateError::UnknownIssuer => TlsProblem::Issuer,
            _ => TlsProblem::Other,
        },
        Some(Error::AlertReceived(AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_)) => {
            TlsProblem::Version
        }
        // What the other side says about a certificate is said about ours (RFC 8446 §6.2).
        Some(Error::AlertReceived(
            AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate,
        )) => TlsProblem::ClientCertificate,
        _ => TlsProblem::Other,
    }
}
