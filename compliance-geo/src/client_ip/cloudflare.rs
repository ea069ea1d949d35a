//! What is peculiar to Cloudflare's edge: its networks, the headers it sets, and what it sends in place of a client.
//!
//! Sources: <https://developers.cloudflare.com/fundamentals/reference/http-headers/> and
//! <https://developers.cloudflare.com/network/pseudo-ipv4/>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use compliance_core::country::CountryCode;

use super::{ClientIpConfigError, ClientIpError, ClientIpErrorKind, FieldName, Headers, single, trim};

/// Networks that Cloudflare publishes for its edge, <https://www.cloudflare.com/ips/>, as of
/// [`CLOUDFLARE_UPDATED`](super::TrustedProxies::CLOUDFLARE_UPDATED).
pub(super) const RANGES: [&str; 22] = [
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "108.162.192.0/18",
    "131.0.72.0/22",
    "141.101.64.0/18",
    "162.158.0.0/15",
    "172.64.0.0/13",
    "173.245.48.0/20",
    "188.114.96.0/20",
    "190.93.240.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
    "2400:cb00::/32",
    "2405:8100::/32",
    "2405:b500::/32",
    "2606:4700::/32",
    "2803:f800::/32",
    "2a06:98c0::/29",
    "2c0f:f248::/32",
];

/// The address from which one zone's Worker reaches another zone: no client at all.
const WORKER: Ipv6Addr = Ipv6Addr::new(0x2a06, 0x98c0, 0x3600, 0, 0, 0, 0, 0x103);

/// What Cloudflare's edge says of the client's country: `CF-IPCountry`.
///
/// Another voice beside the databases, see [`Embargo::screen_with_edge`](crate::embargo::Embargo::screen_with_edge).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm would be where an anonymiser slips through")]
pub enum EdgeCountry {
    /// A country of ISO 3166-1.
    Country(CountryCode),
    /// `T1`: the client came through Tor.
    Tor,
    /// `XX`, a code that is no country, or no header: nobody knows.
    Unknown,
}

impl EdgeCountry {
    /// Two capital letters or digits; anything else is not the edge's.
    fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"T1" => Some(Self::Tor),
            [b'A'..=b'Z' | b'0'..=b'9', b'A'..=b'Z' | b'0'..=b'9'] => {
                let code = str::from_utf8(text).ok().and_then(|code| CountryCode::parse(code).ok());
                Some(code.map_or(Self::Unknown, Self::Country))
            }
            _ => None,
        }
    }
}

/// Reads what an edge sets that is Cloudflare's, or behaves like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    client: FieldName,
    // Where Cloudflare keeps the address that it replaced by one from 240.0.0.0/4.
    replaced: Option<FieldName>,
    country: Option<FieldName>,
}

impl Edge {
    /// `CF-Connecting-IP` and what stands beside it.
    pub(super) fn cloudflare() -> Option<Self> {
        Some(Self {
            client: FieldName::parse("cf-connecting-ip")?,
            replaced: Some(FieldName::parse("cf-connecting-ipv6")?),
            country: None,
        })
    }

    /// Reads the country, too. `None` for an edge that is not Cloudflare's.
    pub(super) fn with_country(self) -> Option<Self> {
        self.replaced.as_ref()?;
        Some(Self { country: Some(FieldName::parse("cf-ipcountry")?), ..self })
    }

    /// `True-Client-IP`: another edge that sets it passes the client's own `CF-…` headers through.
    pub(super) fn true_client() -> Option<Self> {
        Some(Self { client: FieldName::parse("true-client-ip")?, replaced: None, country: None })
    }

    /// The client's address.
    pub(super) fn client(&self, headers: &(impl Headers + ?Sized)) -> Result<IpAddr, ClientIpError> {
        let error = |kind| ClientIpError::new(kind, 1);
        match single(&self.client, headers)? {
            IpAddr::V6(WORKER) => Err(error(ClientIpErrorKind::CloudflareWorker)),
            IpAddr::V4(v4) if is_pseudo(v4) => {
                // Only the edge writes such an address, and then it writes the header beside it, too.
                let replaced = self.replaced.as_ref().ok_or(error(ClientIpErrorKind::PseudoIpv4))?;
                match single(replaced, headers) {
                    Ok(IpAddr::V6(WORKER)) => Err(error(ClientIpErrorKind::CloudflareWorker)),
                    Ok(IpAddr::V6(v6)) => Ok(IpAddr::V6(v6)),
                    Ok(IpAddr::V4(_)) => Err(error(ClientIpErrorKind::Malformed)),
                    Err(missing) if missing.kind() == ClientIpErrorKind::Missing => {
                        Err(error(ClientIpErrorKind::PseudoIpv4))
                    }
                    Err(other) => Err(other),
                }
            }
            ip => Ok(ip),
        }
    }

    /// The client's country, if the edge is configured to say.
    pub(super) fn country(
        &self,
        headers: &(impl Headers + ?Sized),
    ) -> Result<Option<EdgeCountry>, ClientIpError> {
        let Some(name) = &self.country else { return Ok(None) };
        let mut lines = headers.lines(name);
        let Some(line) = lines.next() else { return Ok(Some(EdgeCountry::Unknown)) };
        if lines.next().is_some() {
            return Err(ClientIpError::new(ClientIpErrorKind::Duplicate, 0));
        }
        let country = EdgeCountry::parse(trim(line));
        country.map(Some).ok_or(ClientIpError::new(ClientIpErrorKind::Malformed, 1))
    }
}

/// 240.0.0.0/4, RFC 1112 §4: nobody's address.
fn is_pseudo(ip: Ipv4Addr) -> bool {
    ip.octets() >= [240, 0, 0, 0]
}

/// Headers of the edge read under their bare name would be believed without a proof.
pub(super) fn check_name(name: &FieldName) -> Result<(), ClientIpConfigError> {
    let needs_proof = ["cf-connecting-ip", "cf-connecting-ipv6", "cf-pseudo-ipv4", "true-client-ip"];
    if needs_proof.iter().any(|known| name.as_str().eq_ignore_ascii_case(known)) {
        return Err(ClientIpConfigError::NoOriginProof);
    }
    Ok(())
}
