//! Where a client is, and whether it may be served.
//!
//! Ours and `maxminddb` answer from one and the same file. It is written here out of the embedded country table
//! ([`mmdb`]), so that nothing is downloaded; `COMPLIANCE_MMDB=FILE` takes another country database instead.

mod mmdb;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::country::CountryCode;
use compliance_geo::client_ip::{ClientIp, Source, TrustedProxies};
use compliance_geo::database::Database;
use compliance_geo::embargo::{Embargo, Policy, VerdictClass};
use http::HeaderMap;
use maxminddb::{PathElement, Reader, path};

use crate::bench::Bench;
use crate::measure::{Failure, Measured, alone, side_by_side};
use crate::random::Random;

/// More than caches hold of what they lead to.
const ADDRESSES: usize = 1 << 20;
/// Looked up per call.
const CHUNK: usize = 1 << 12;

pub(crate) fn figures(bench: &mut Bench) -> Result<(), Failure> {
    let found = client_ip(bench, 1);
    bench.figure("geo.client_ip", "ns", found);
    let found = client_ip(bench, 3);
    bench.figure("geo.client_ip_walk", "ns", found);

    let side = Sides::open()?;
    let v4 = random_v4();
    let v6 = random_v6(&side.database);
    bench.figure("geo.verdict_v4", "ns", side.verdict(bench, &v4));
    bench.figure("geo.verdict_v6", "ns", side.verdict(bench, &v6));
    bench.figure("geo.country_lazy", "ns", side.country(bench, &v4));
    bench.figure("geo.table_bytes", "bytes", Ok(Measured::alone(side.embargo.table_bytes() as f64)));
    bench.figure("geo.compile", "s", side.compile(bench));
    Ok(())
}

/// The same database, twice.
struct Sides {
    file: Vec<u8>,
    database: Database,
    embargo: Embargo,
    now: Timestamp,
    reader: Reader<Vec<u8>>,
    path: Vec<PathElement<'static>>,
}

impl Sides {
    fn open() -> Result<Self, Failure> {
        let embedded = Database::embedded()?;
        let built = embedded.snapshot().as_of().start();
        let file = match std::env::var_os("COMPLIANCE_MMDB") {
            Some(file) => std::fs::read(file)?,
            None => mmdb::write(&embedded, u64::try_from(built.as_unix_seconds())?)?,
        };
        let reader = Reader::from_source(file.clone())?;
        let database = Database::from_mmdb(file.clone(), "peers")?;
        // The day after, when nothing is stale.
        let now = database.snapshot().as_of().start().saturating_add(Duration::from_secs(24 * 60 * 60));
        let embargo = compile(&database)?;
        let one: IpAddr = [1, 1, 1, 1].into();
        let flat = reader.lookup(one)?.decode_path::<&str>(&path!["country_code"])?.is_some();
        let path = if flat { path!["country_code"].to_vec() } else { path!["country", "iso_code"].to_vec() };
        let side = Self { file, database, embargo, now, reader, path };
        side.agree()?;
        Ok(side)
    }

    /// Both sides say the same of the first address of every network that is not set aside for special purposes.
    fn agree(&self) -> Result<(), Failure> {
        for ip in self.database.boundaries() {
            if compliance_core::address::outside(ip).is_ok() {
                // Files may say more than ISO 3166-1 knows: `AP`, "somewhere in Asia or the Pacific".
                let peer = self.peer_country(ip).filter(|code| CountryCode::parse(code).is_ok());
                if self.database.country(ip).map(CountryCode::as_str) != peer {
                    return Err(format!("the databases differ on {ip}").into());
                }
            }
        }
        Ok(())
    }

    /// The country alone, which `maxminddb` decodes faster than a record.
    fn peer_country(&self, ip: IpAddr) -> Option<&str> {
        self.reader.lookup(ip).ok()?.decode_path(&self.path).ok()?
    }

    /// Ours: the verdict under the US programmes, which includes the special-purpose blocks, the IPv4 that IPv6
    /// addresses carry, and the database's age. The peer: find the record and decode the country, with no verdict.
    fn verdict(&self, bench: &Bench, ips: &[IpAddr]) -> Result<Measured, Failure> {
        let classes = ips.iter().map(|ip| self.embargo.class(*ip, self.now));
        let embargoed = classes.filter(|class| *class == VerdictClass::Embargoed).count();
        if embargoed == 0 || embargoed == ips.len() {
            return Err("the addresses should be in embargoed and other places".into());
        }
        let judge = |ip: &&IpAddr| self.embargo.class(**ip, black_box(self.now)) == VerdictClass::Servable;
        let mut ours = ips.chunks(CHUNK).cycle();
        let mut peer = ips.chunks(CHUNK).cycle();
        Ok(side_by_side(
            bench.effort,
            CHUNK,
            || ours.next().map(|ips| ips.iter().filter(judge).count()),
            || {
                peer.next()
                    .map(|ips| ips.iter().filter(|ip| black_box(self.peer_country(**ip)).is_some()).count())
            },
        ))
    }

    /// Both find the country of an address.
    fn country(&self, bench: &Bench, ips: &[IpAddr]) -> Result<Measured, Failure> {
        let mut ours = ips.chunks(CHUNK).cycle();
        let mut peer = ips.chunks(CHUNK).cycle();
        let our_country = |ip: IpAddr| black_box(self.database.country(ip));
        Ok(side_by_side(
            bench.effort,
            CHUNK,
            || ours.next().map(|ips| ips.iter().filter(|ip| our_country(**ip).is_some()).count()),
            || {
                peer.next()
                    .map(|ips| ips.iter().filter(|ip| black_box(self.peer_country(**ip)).is_some()).count())
            },
        ))
    }

    /// Ours: from the bytes of the file to verdicts, with every record checked on the way. `maxminddb` opens a file
    /// without looking at its records, so there is nothing to compare with.
    fn compile(&self, bench: &Bench) -> Result<Measured, Failure> {
        let build = || compile(&Database::from_mmdb(self.file.clone(), "peers")?);
        build()?;
        Ok(alone(bench.effort.fewer(), 1, build).scaled(1e-9))
    }
}

fn compile(database: &Database) -> Result<Embargo, Failure> {
    Ok(Embargo::builder().policy(Policy::Us).database(database.clone()).build()?)
}

/// All of IPv4, special-purpose blocks included.
fn random_v4() -> Vec<IpAddr> {
    let mut random = Random::seeded(6);
    (0..ADDRESSES).map(|_| Ipv4Addr::from_bits(random.u32()).into()).collect()
}

/// One half anywhere in 2000::/3, one half inside networks that the database knows, where clients are.
fn random_v6(database: &Database) -> Vec<IpAddr> {
    let known = |ip: IpAddr| match ip {
        IpAddr::V6(ip) => database.country(ip.into()).map(|_| ip.to_bits()),
        IpAddr::V4(_) => None,
    };
    let networks: Vec<u128> = database.boundaries().filter_map(known).collect();
    let mut random = Random::seeded(7);
    let mut address = |n: usize| {
        let network = networks.get(random.below(networks.len().max(1))).filter(|_| n % 2 == 0);
        match network {
            Some(network) => network | random.u128() >> 64,
            None => random.u128() >> 3 | 1 << 125,
        }
    };
    (0..ADDRESSES).map(|n| Ipv6Addr::from_bits(address(n)).into()).collect()
}

const REQUESTS: usize = 256;

/// Requests whose `X-Forwarded-For` has three entries, read from right to left.
///
/// Ours: the connection's peer is a trusted proxy, then entries are read until one is none of ours. The peer: the
/// rightmost entry of the last line, whoever made the request; it knows no trusted proxies. `entries_read` is 1
/// where the client stands rightmost, so that both answer alike, and 3 where two of our own proxies stand right of
/// it: the peer then still reads one entry, and answers with a proxy.
fn client_ip(bench: &Bench, entries_read: usize) -> Result<Measured, Failure> {
    let proxies = TrustedProxies::parse(["10.0.0.0/8", "172.16.0.0/12", "192.0.2.0/24", "2001:db8:5::/48"])?;
    let rule = ClientIp::new(proxies, Source::XForwardedFor)?;
    let mut random = Random::seeded(5);
    let mut requests = Vec::new();
    for n in 0..REQUESTS {
        let client = Ipv4Addr::from_bits(random.u32() >> 8 | 93 << 24);
        let edge = Ipv4Addr::from_bits(random.u32() >> 24 | 0xc000_0200);
        let balancer = Ipv4Addr::from_bits(random.u32() >> 8 | 10 << 24);
        let entries = if entries_read == 1 { [edge, balancer, client] } else { [client, edge, balancer] };
        let line = entries.map(|entry| entry.to_string()).join(", ");
        let mut headers = HeaderMap::new();
        headers.insert("host", "app.example.com".parse()?);
        headers.insert("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101".parse()?);
        headers.insert("accept", "text/html,application/xhtml+xml".parse()?);
        headers.insert("x-forwarded-for", line.parse()?);
        headers.insert("x-request-id", format!("{n:032x}").parse()?);
        let peer = IpAddr::from(balancer);
        if rule.find(peer, &headers)?.ip() != IpAddr::from(client) {
            return Err(format!("ours does not find the client in {line}").into());
        }
        if (client_ip::rightmost_x_forwarded_for(&headers)? == client) != (entries_read == 1) {
            return Err(format!("the peer does not answer as expected for {line}").into());
        }
        requests.push((peer, headers));
    }
    let ours =
        || requests.iter().filter(|(peer, headers)| black_box(rule.find(*peer, headers)).is_ok()).count();
    let rightmost = client_ip::rightmost_x_forwarded_for;
    let peer = || requests.iter().filter(|(_, headers)| black_box(rightmost(headers)).is_ok()).count();
    Ok(side_by_side(bench.effort, requests.len(), ours, peer))
}
