//! A resolver of our own: hickory.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use super::{Resolve, ResolveError};

/// Asks DNS itself, without the operating system's look-up: no hosts file, no search domains, no name service
/// switch, and both A and AAAA for every name.
///
/// For names inside, which only an accepted risk lets through and which a hosts file may have, take
/// [`SystemResolver`](super::SystemResolver).
///
/// ```
/// use compliance_webhook::guard::HickoryResolver;
///
/// let resolver = HickoryResolver::asking(&["192.0.2.53:53".parse()?])?;
/// assert!(HickoryResolver::asking(&[]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Answers are cached for as long as their time to live says. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub struct HickoryResolver {
    resolver: TokioResolver,
}

impl HickoryResolver {
    /// Asks the name servers the system is configured with: `/etc/resolv.conf`, or the registry on Windows.
    ///
    /// # Errors
    /// `guard.resolve` when there is no such configuration.
    pub fn system() -> Result<Self, ResolveError> {
        Self::build(TokioResolver::builder_tokio().map_err(|_| ResolveError::new())?)
    }

    /// Asks these name servers, over UDP, and over TCP for answers that do not fit.
    ///
    /// # Errors
    /// `guard.resolve` when there are none.
    pub fn asking(name_servers: &[SocketAddr]) -> Result<Self, ResolveError> {
        if name_servers.is_empty() {
            return Err(ResolveError::new());
        }
        let at = |mut connection: ConnectionConfig, port| {
            connection.port = port;
            connection
        };
        let servers = name_servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            NameServerConfig::new(server.ip(), true, connections.map(|c| at(c, server.port())).into())
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        Self::build(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
    }

    fn build(
        mut builder: hickory_resolver::ResolverBuilder<TokioRuntimeProvider>,
    ) -> Result<Self, ResolveError> {
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Never;
        let resolver = builder.build().map_err(|_| ResolveError::new())?;
        Ok(Self { resolver })
    }
}

impl fmt::Debug for HickoryResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HickoryResolver")
    }
}

impl Resolve for HickoryResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        // The dot makes it absolute: no search domain is tried.
        let answers = self.resolver.lookup_ip(format!("{name}.")).await;
        answers.map(|answers| answers.iter().collect()).map_err(|_| ResolveError::new())
    }
}
