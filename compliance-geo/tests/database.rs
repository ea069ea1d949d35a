//! Databases through the public API: the embedded table, country tables, and MaxMind DB files.

#[cfg(feature = "maxminddb")]
mod mmdb_file;

use std::net::IpAddr;

use compliance_geo::database::{Database, DatabaseErrorKind, Located};
use sha2::{Digest, Sha256};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[track_caller]
fn check(text: &str, expected: Option<&str>) {
    let found = Database::embedded().unwrap().country(ip(text));
    assert_eq!(found.map(|country| country.as_str()), expected, "{text}");
}

/// Networks that any refresh of the table must still place: the ranges are old and well known.
#[test]
fn embedded_table_knows_its_canaries() {
    check("175.45.178.2", Some("KP"));
    check("5.22.4.4", Some("IR"));
    check("2.144.0.1", Some("IR"));
    check("200.55.128.1", Some("CU"));
    check("5.0.0.1", Some("SY"));
    check("8.8.8.8", Some("US"));
    check("194.0.200.1", Some("UA"));
    check("2001:4860:4860::8888", Some("US"));
    check("::ffff:5.22.4.4", Some("IR"));
}

#[test]
fn special_blocks_are_not_public_whatever_the_data_says() {
    let database = Database::embedded().unwrap();
    for text in
        ["10.1.2.3", "127.0.0.1", "192.168.0.1", "100.64.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0"]
    {
        assert_eq!(database.locate(ip(text)), Located::NotPublic, "{text}");
        assert_eq!(database.locate(ip(&format!("::ffff:{text}"))), Located::NotPublic, "{text}");
    }
    for text in ["::", "::1", "fe80::1", "fc00::1", "2001:db8::1", "ff02::1", "3fff::1", "5f00::1", "4000::"]
    {
        assert_eq!(database.locate(ip(text)), Located::NotPublic, "{text}");
    }
}

#[test]
fn edges_of_special_blocks_are_exact() {
    let database = Database::embedded().unwrap();
    for (inside, outside) in [
        ("10.0.0.0", "9.255.255.255"),
        ("10.255.255.255", "11.0.0.0"),
        ("172.16.0.0", "172.15.255.255"),
        ("172.31.255.255", "172.32.0.0"),
        ("168.63.129.16", "168.63.129.17"),
        ("2001:db8::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"),
    ] {
        assert_eq!(database.locate(ip(inside)), Located::NotPublic, "{inside}");
        assert_ne!(database.locate(ip(outside)), Located::NotPublic, "{outside}");
    }
}

#[test]
fn embedded_table_is_dated_and_fits() {
    let database = Database::embedded().unwrap();
    assert_eq!(database.snapshot().as_of().to_string(), "2026-06-17");
    assert!(database.snapshot().entries() > 250_000);
    assert!(database.table_bytes() <= 4 << 20, "{} bytes", database.table_bytes());
    assert!(database.knows_countries() && !database.knows_subdivisions() && !database.knows_anonymity());
}

#[test]
fn country_table_reads_back_what_it_wrote() {
    let database = Database::embedded().unwrap();
    let again = Database::from_country_table(&database.to_country_table()).unwrap();
    assert_eq!(again.snapshot().as_of(), database.snapshot().as_of());
    for start in database.boundaries() {
        assert_eq!(again.country(start), database.country(start), "{start}");
    }
}

#[track_caller]
fn refuse(bytes: &[u8], code: &str) {
    assert_eq!(Database::from_country_table(bytes).unwrap_err().code(), code);
}

#[test]
fn damaged_country_tables_are_refused() {
    let good = Database::embedded().unwrap().to_country_table();
    refuse(b"", "database.format");
    refuse(b"CGEOTBL\x01", "database.format");
    let mut version = good.clone();
    version[7] = 1;
    refuse(&version, "database.format");
    refuse(good.get(..good.len() - 1).unwrap(), "database.digest");
    refuse(good.get(..40).unwrap(), "database.format");
    let mut longer = good.clone();
    longer.push(0);
    refuse(&longer, "database.digest");
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    refuse(&flipped, "database.digest");
    let mut other_country = good;
    let position = other_country.windows(2).position(|pair| pair == b"AD").unwrap();
    other_country[position..position + 2].copy_from_slice(b"ZZ");
    refuse(&other_country, "database.format");
    let limit = Database::MAX_COUNTRY_TABLE_BYTES;
    let error = Database::from_country_table(&vec![0; limit + 1]).unwrap_err();
    assert_eq!(*error.kind(), DatabaseErrorKind::TooLarge { limit, found: limit + 1 });
}

/// Where the digest of a country table is: after the name, the codes and three numbers.
fn digest_at(table: &[u8]) -> usize {
    let source = usize::from(table[18]);
    let codes = usize::from(table[19 + source]);
    20 + source + 2 * codes + 16
}

fn with_new_digest(mut table: Vec<u8>) -> Vec<u8> {
    let at = digest_at(&table);
    let digest = Sha256::new().chain_update(&table[..at]).chain_update(&table[at + 32..]).finalize();
    table[at..at + 32].copy_from_slice(&digest);
    table
}

/// One changed bit in the header would make Iran Iceland.
#[test]
fn the_digest_covers_the_header() {
    let good = Database::embedded().unwrap().to_country_table();
    assert_eq!(with_new_digest(good.clone()), good);
    for at in (0..digest_at(&good)).step_by(13) {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        assert!(Database::from_country_table(&flipped).is_err(), "byte {at}");
    }
    for (from, to) in [(b"UA", b"QA"), (b"IR", b"IS")] {
        let mut other = good.clone();
        let at = other.windows(2).position(|pair| pair == from).unwrap();
        assert!(at < digest_at(&other));
        other[at..at + 2].copy_from_slice(to);
        refuse(&other, "database.digest");
    }
}

#[test]
fn the_number_of_records_is_counted() {
    let good = Database::embedded().unwrap().to_country_table();
    let at = digest_at(&good) - 8;
    let mut fewer = good;
    fewer[at] ^= 1;
    refuse(&with_new_digest(fewer), "database.format");
}

#[cfg(feature = "maxminddb")]
mod mmdb {
    use std::collections::BTreeMap;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::path::PathBuf;

    use compliance_geo::database::Place;
    use ipnet::IpNet;
    use serde_json::Value as Json;

    use super::mmdb_file::{File, Value, country, map};
    use super::*;

    const JUNE_2026: u64 = 1_781_654_400;

    fn corpus() -> Option<PathBuf> {
        let folder = std::env::var_os("COMPLIANCE_CORPUS");
        if folder.is_none() {
            println!("skipped: COMPLIANCE_CORPUS is not set");
        }
        folder.map(|folder| PathBuf::from(folder).join("geo"))
    }

    fn load(file: &str) -> Option<(Vec<u8>, Database)> {
        let bytes = std::fs::read(corpus()?.join("maxmind-test-data").join(file)).unwrap();
        let database = Database::from_mmdb(bytes.clone(), file.to_owned()).unwrap();
        Some((bytes, database))
    }

    #[test]
    fn damaged_files_are_refused() {
        let Some(corpus) = corpus() else { return };
        let mut files = 0;
        for folder in ["maxminddb-golang", "maxminddb-python"] {
            for entry in std::fs::read_dir(corpus.join("maxmind-bad-data").join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let error = Database::from_mmdb(std::fs::read(&path).unwrap(), "bad").unwrap_err();
                let code = error.code();
                assert!(matches!(code, "database.format" | "database.structure"), "{path:?}: {code}");
                files += 1;
            }
        }
        assert_eq!(files, 8);
    }

    #[test]
    fn files_about_something_else_are_refused() {
        let Some(corpus) = corpus() else { return };
        for file in [
            "MaxMind-DB-no-ipv4-search-tree.mmdb",
            "MaxMind-DB-string-value-entries.mmdb",
            "MaxMind-DB-test-decoder.mmdb",
            "MaxMind-DB-test-ipv4-24.mmdb",
            "MaxMind-DB-test-ipv6-28.mmdb",
            "MaxMind-DB-test-mixed-32.mmdb",
        ] {
            let bytes = std::fs::read(corpus.join("maxmind-test-data").join(file)).unwrap();
            assert_eq!(Database::from_mmdb(bytes, file).unwrap_err().code(), "database.schema", "{file}");
        }
    }

    #[test]
    fn every_cut_of_a_file_is_refused() {
        let Some((bytes, _)) = load("GeoIP2-Anonymous-IP-Test.mmdb") else { return };
        for len in 0..bytes.len() - 1 {
            assert!(Database::from_mmdb(bytes.get(..len).unwrap(), "cut").is_err(), "cut to {len} bytes");
        }
    }

    #[test]
    fn a_flipped_byte_never_panics() {
        let Some((bytes, _)) = load("GeoIP2-Anonymous-IP-Test.mmdb") else { return };
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 0xff;
            // Many flips yield another valid file; what counts is that an answer comes.
            drop(Database::from_mmdb(flipped, "flipped"));
        }
    }

    #[track_caller]
    fn place(database: &Database, text: &str, country: Option<&str>, part: Option<&str>) {
        let Located::Place(place) = database.locate(ip(text)) else { panic!("no place for {text}") };
        assert_eq!(place.country().map(|country| country.as_str()), country, "{text}");
        assert_eq!(place.subdivision().as_ref().map(|part| part.as_str()), part, "{text}");
    }

    #[test]
    fn maxmind_test_files_give_the_documented_places() {
        let Some((_, enterprise)) = load("GeoIP2-Enterprise-Test.mmdb") else { return };
        place(&enterprise, "1.231.232.1", Some("UA"), Some("UA-43"));
        place(&enterprise, "1.124.213.1", Some("IR"), None);
        assert!(enterprise.knows_subdivisions());
        let (_, city) = load("GeoLite2-City-Test.mmdb").unwrap();
        place(&city, "2a02:d2c0::1", Some("IR"), None);
        place(&city, "2a02:d300::1", Some("UA"), None);
        let (_, country) = load("GeoIP2-Country-Test.mmdb").unwrap();
        place(&country, "2.125.160.216", Some("GB"), None);
        assert!(!country.knows_subdivisions());
    }

    #[test]
    fn anonymiser_flags_are_read() {
        let Some((_, database)) = load("GeoIP2-Anonymous-IP-Test.mmdb") else { return };
        assert!(database.knows_anonymity() && !database.knows_countries());
        let Located::Place(place) = database.locate(ip("81.2.69.1")) else { panic!() };
        let flags = place.anonymity();
        assert!(
            flags.is_anonymous() && flags.is_vpn() && flags.is_hosting_provider() && flags.is_public_proxy()
        );
        assert!(flags.is_residential_proxy() && flags.is_tor_exit_node());
        let (_, plus) = load("GeoIP-Anonymous-Plus-Test.mmdb").unwrap();
        assert!(plus.knows_anonymity());
    }

    fn neighbours(address: IpAddr) -> [IpAddr; 3] {
        match address {
            IpAddr::V4(v4) => [-1_i32, 0, 1]
                .map(|step| IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits().wrapping_add_signed(step)))),
            IpAddr::V6(v6) => [-1_i128, 0, 1]
                .map(|step| IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits().wrapping_add_signed(step)))),
        }
    }

    #[derive(serde::Deserialize)]
    struct Record<'a> {
        #[serde(borrow)]
        country: Option<Country<'a>>,
    }

    #[derive(serde::Deserialize)]
    struct Country<'a> {
        iso_code: Option<&'a str>,
    }

    /// For every boundary of a network and its neighbours, table and file say the same.
    #[test]
    fn table_and_file_agree_on_every_boundary() {
        for file in [
            "GeoIP2-Country-Test.mmdb",
            "GeoIP2-City-Test.mmdb",
            "GeoIP2-Enterprise-Test.mmdb",
            "GeoLite2-City-Test.mmdb",
        ] {
            let Some((bytes, database)) = load(file) else { return };
            let reader = maxminddb::Reader::from_source(bytes).unwrap();
            let starts = reader.networks(maxminddb::WithinOptions::default()).unwrap();
            let starts = starts
                .map(|found| found.unwrap().network().unwrap())
                .flat_map(|net| [net.network(), net.broadcast()]);
            let mut compared = 0;
            for address in starts.chain(database.boundaries()).flat_map(neighbours) {
                let transition = matches!(address, IpAddr::V6(v6) if matches!(v6.segments(), [0x2002, ..] | [0x2001, 0, ..] | [0, ..]));
                if transition || database.locate(address) == Located::NotPublic {
                    continue;
                }
                let record: Option<Record<'_>> = reader.lookup(address).unwrap().decode().unwrap();
                let expected = record.and_then(|record| record.country).and_then(|country| country.iso_code);
                assert_eq!(
                    database.country(address).map(|country| country.as_str()),
                    expected,
                    "{file} {address}"
                );
                compared += 1;
            }
            assert!(compared > 100, "{file}: only {compared} addresses compared");
        }
    }

    /// What a record of the documented content should become.
    fn documented(record: &Json) -> (Vec<Option<String>>, [bool; 6]) {
        let code = |value: &Json| value["iso_code"].as_str().map(str::to_owned);
        let country = code(&record["country"]);
        let part = record["subdivisions"].get(0).and_then(code);
        let other = |name: &str| code(&record[name]).filter(|found| country.as_ref() != Some(found));
        let flag = |name: &str| record[name].as_bool().or(record["traits"][name].as_bool()).unwrap_or(false);
        let flags = [
            "is_anonymous",
            "is_anonymous_vpn",
            "is_hosting_provider",
            "is_public_proxy",
            "is_residential_proxy",
            "is_tor_exit_node",
        ];
        let subdivision = country.as_ref().zip(part).map(|(country, part)| format!("{country}-{part}"));
        let places =
            vec![country.clone(), subdivision, other("registered_country"), other("represented_country")];
        (places, flags.map(flag))
    }

    fn found(place: Option<&Place>) -> (Vec<Option<String>>, [bool; 6]) {
        let Some(place) = place else { return (vec![None; 4], [false; 6]) };
        let text =
            |country: Option<compliance_core::country::CountryCode>| country.map(|code| code.to_string());
        let places = vec![
            text(place.country()),
            place.subdivision().map(|part| part.to_string()),
            text(place.registered_country()),
            text(place.represented_country()),
        ];
        let anonymity = place.anonymity();
        let flags = [
            anonymity.is_anonymous(),
            anonymity.is_vpn(),
            anonymity.is_hosting_provider(),
            anonymity.is_public_proxy(),
            anonymity.is_residential_proxy(),
            anonymity.is_tor_exit_node(),
        ];
        (places, flags)
    }

    /// MaxMind publishes the content of its test databases as JSON: what an independent reader would find.
    #[test]
    fn every_documented_network_has_its_documented_place() {
        for (name, least) in [
            ("GeoIP2-Anonymous-IP-Test", 5),
            ("GeoIP2-City-Test", 200),
            ("GeoIP2-Country-Test", 200),
            ("GeoIP2-Enterprise-Test", 25),
        ] {
            let Some((_, database)) = load(&format!("{name}.mmdb")) else { return };
            let json = corpus().unwrap().join("maxmind-test-data").join(format!("{name}.json"));
            let json: Vec<BTreeMap<String, Json>> =
                serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
            let networks: Vec<(IpNet, &Json)> = json
                .iter()
                .flatten()
                .map(|(network, record)| (network.parse::<IpNet>().unwrap(), record))
                .collect();
            let mut compared = 0;
            for (network, _) in &networks {
                for address in [network.network(), network.broadcast()] {
                    // The narrowest documented network decides; IPv4 may be written in the compatible form.
                    let holds = |(network, _): &&(IpNet, &Json)| network.contains(&address);
                    let (_, record) = networks
                        .iter()
                        .filter(holds)
                        .max_by_key(|(network, _)| network.prefix_len())
                        .unwrap();
                    let asked = match address {
                        IpAddr::V6(v6) => v6.to_ipv4().map_or(address, IpAddr::V4),
                        IpAddr::V4(_) => address,
                    };
                    let place = match database.locate(asked) {
                        Located::NotPublic => continue,
                        Located::NoRecord => None,
                        Located::Place(place) => Some(place),
                    };
                    assert_eq!(found(place), documented(record), "{name} {asked}");
                    compared += 1;
                }
            }
            assert!(compared >= least, "{name}: only {compared} addresses compared");
        }
    }

    #[test]
    fn confidence_is_read_and_counts() {
        let Some((_, plus)) = load("GeoIP-Anonymous-Plus-Test.mmdb") else { return };
        let mut confident = 0;
        for start in plus.boundaries() {
            if let Located::Place(place) = plus.locate(start)
                && let Some(percent) = place.anonymity().confidence()
            {
                assert!(percent <= 100 && place.anonymity().is_anonymous());
                confident += 1;
            }
        }
        assert!(confident > 0);
    }

    fn written(network: &str, value: &Value) -> Result<Database, &'static str> {
        let file = File::built_at(JUNE_2026).with(network, value);
        Database::from_mmdb(file.bytes(), "written").map_err(|error| error.code())
    }

    #[test]
    fn fields_are_read_as_documented() {
        let database = written(
            "8.8.0.0/16",
            &map([
                ("country", map([("iso_code", "DE".into())])),
                ("registered_country", map([("iso_code", "IR".into())])),
                ("represented_country", map([("iso_code", "US".into()), ("type", "military".into())])),
                ("subdivisions", Value::List(vec![map([("iso_code", "BY".into())])])),
                ("anonymizer_confidence", Value::Count(30)),
            ]),
        )
        .unwrap();
        let Located::Place(place) = database.locate(ip("8.8.255.255")) else { panic!() };
        let code = |country: Option<compliance_core::country::CountryCode>| country.unwrap().to_string();
        assert_eq!(code(place.registered_country()), "IR");
        assert_eq!(code(place.represented_country()), "US");
        assert_eq!(place.subdivision().unwrap().as_str(), "DE-BY");
        assert_eq!(place.anonymity().confidence(), Some(30));
        assert!(place.anonymity().is_anonymous());
        assert_eq!(database.snapshot().as_of().to_string(), "2026-06-17");
        assert_eq!(database.locate(ip("8.9.0.0")), Located::NoRecord);
    }

    #[test]
    fn countries_are_read_alike_wherever_they_stand() {
        let fields = ["country", "registered_country", "represented_country"];
        let read = |field: &'static str, code: &str| {
            let base = ("country_code", "DE".into());
            let value = map([base, (field, map([("iso_code", code.into())]))]);
            written("8.8.0.0/16", &value).map(|database| match database.locate(ip("8.8.8.8")) {
                Located::Place(place) => {
                    let read = [place.country(), place.registered_country(), place.represented_country()];
                    let index = fields.iter().position(|name| *name == field).unwrap();
                    read[index].map(|country| country.to_string())
                }
                Located::NoRecord | Located::NotPublic => None,
            })
        };
        for field in fields {
            for code in ["IR", "ir", "Ir"] {
                assert_eq!(read(field, code), Ok(Some("IR".to_owned())), "{field} {code}");
            }
            for code in ["IRN", " IR", "I", "Iran", "98", "\u{456}r"] {
                assert_eq!(read(field, code), Err("database.schema"), "{field} {code}");
            }
        }
        for code in ["EU", "ZZ", "zz", "", "-"] {
            assert_eq!(read("registered_country", code), Ok(None), "{code}");
            // A file that knows no other country is one of nothing.
            assert_eq!(read("country", code), Err("database.schema"), "{code}");
        }
        let flat = |code: &str| written("8.8.0.0/16", &map([("country_code", code.into())]));
        assert_eq!(flat("ir").unwrap().country(ip("8.8.8.8")).unwrap().as_str(), "IR");
        assert_eq!(flat("IRN").unwrap_err(), "database.schema");
    }

    #[test]
    fn fields_of_the_wrong_type_are_refused() {
        let check = |value: Value| assert_eq!(written("8.8.0.0/16", &value).unwrap_err(), "database.schema");
        check(map([("country", true.into())]));
        check(map([("country", map([("iso_code", Value::Count(7))]))]));
        check(map([("country_code", Value::Count(7))]));
        check(map([("country", map([("iso_code", "DE".into())])), ("is_anonymous", "yes".into())]));
        check(map([
            ("country", map([("iso_code", "DE".into())])),
            ("anonymizer_confidence", Value::Count(101)),
        ]));
        check(map([("country", map([("iso_code", "DE".into())])), ("subdivisions", "BY".into())]));
        check(map([("city", "Berlin".into())]));
    }

    /// A file as other vendors write flat ones: `country_code`, and no texts for people.
    fn flat(file: File) -> Vec<u8> {
        const DESCRIPTION: &[u8] = b"description";
        let mut bytes = file.bytes();
        let at = bytes.windows(DESCRIPTION.len()).rposition(|text| text == DESCRIPTION).unwrap();
        let (from, text) = (at + DESCRIPTION.len(), b"\xe1\x42en\x52written for a test");
        assert!(bytes[from..].starts_with(text));
        // An empty map in its place.
        bytes.splice(from..from + text.len(), [7 << 5]);
        bytes
    }

    fn flat_country(code: &str) -> Value {
        map([("country_code", code.into())])
    }

    fn flat_file(code: &str) -> File {
        File::built_at(JUNE_2026).with("8.8.0.0/16", &flat_country(code))
    }

    #[test]
    fn flat_files_are_read() {
        let database = Database::from_mmdb(flat(flat_file("DE")), "flat").unwrap();
        assert_eq!(database.country(ip("8.8.4.4")).unwrap().as_str(), "DE");
        assert_eq!(database.locate(ip("8.9.0.0")), Located::NoRecord);
        assert_eq!(database.snapshot().as_of().to_string(), "2026-06-17");
    }

    #[test]
    fn flat_files_are_verified_too() {
        let mut bytes = flat(flat_file("DE"));
        // The only record of the tree that leads to data.
        let nodes = bytes.chunks(8).take_while(|node| *node != [0; 8]).count();
        let nodes = u32::try_from(nodes).unwrap();
        let pointer = (nodes + 16).to_be_bytes();
        let at = bytes.chunks(4).position(|record| record == pointer).unwrap() * 4;
        bytes[at..at + 4].copy_from_slice(&(nodes + 16 + 3).to_be_bytes());
        let error = Database::from_mmdb(bytes, "flat").unwrap_err();
        assert_eq!(error.code(), "database.structure");
    }

    #[test]
    fn codes_that_are_no_country_are_no_record() {
        let file = flat_file("EU").with("9.9.0.0/16", &flat_country("DE"));
        let database = Database::from_mmdb(flat(file), "flat").unwrap();
        assert_eq!(database.locate(ip("8.8.4.4")), Located::NoRecord);
        assert_eq!(database.country(ip("9.9.9.9")).unwrap().as_str(), "DE");
    }

    /// Each record says 28 times what the one before it says, the first a text of so many bytes.
    fn repeating(text_len: usize, depth: u32) -> Vec<u8> {
        let code = || ("country_code", Value::from("DE"));
        let mut file = File::built_at(JUNE_2026);
        // Behind the control byte of a map and a key of one letter.
        let inside = |record: u32| Value::from(record + 3);
        let mut record = file.record(&map([("x", "x".repeat(text_len).into()), code()]));
        file.network(0x0808_0000, 112, record);
        for step in 0..depth {
            let list = Value::List((0..28).map(|_| inside(record)).collect());
            record = file.record(&map([("x", list), code()]));
            file.network(0x0909_0000 + u128::from(step << 16), 112, record);
        }
        file.bytes()
    }

    #[test]
    fn the_time_to_read_a_file_is_bounded_by_its_size() {
        let load = |bytes: Vec<u8>| Database::from_mmdb(bytes, "repeating").map(drop).map_err(|e| e.code());
        assert_eq!(load(repeating(20, 3)), Ok(()));
        // One more step, or longer texts, and a few hundred bytes keep a reader busy.
        assert_eq!(load(repeating(20, 4)), Err("database.structure"));
        assert_eq!(load(repeating(255, 3)), Err("database.structure"));
    }

    #[test]
    fn files_over_the_limits_are_refused() {
        let limit = Database::MAX_MMDB_BYTES;
        let error = Database::from_mmdb(vec![0; limit + 1], "large").unwrap_err();
        assert_eq!(*error.kind(), DatabaseErrorKind::TooLarge { limit, found: limit + 1 });
        assert_eq!(error.code(), "database.too_large");
        struct Broken;
        impl std::io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::ConnectionReset.into())
            }
        }
        assert_eq!(Database::read_mmdb(Broken, "broken").unwrap_err().code(), "database.io");
    }

    #[test]
    fn more_places_than_a_table_tells_apart_are_refused() {
        let mut file = File::built_at(JUNE_2026);
        let letter = |n: u32| char::from_digit(n % 36, 36).unwrap().to_ascii_uppercase();
        for number in 0..66_000_u32 {
            let part: String = [number / 1296, number / 36, number].map(letter).iter().collect();
            let code = if number < 36 * 36 * 36 { "DE" } else { "FR" };
            let place = map([
                ("country", map([("iso_code", code.into())])),
                ("subdivisions", Value::List(vec![map([("iso_code", Value::Text(part))])])),
            ]);
            let record = file.record(&place);
            file.network(0x0800_0000 + u128::from(number), 128, record);
        }
        let error = Database::from_mmdb(file.bytes(), "many").unwrap_err();
        assert_eq!(error.code(), "database.too_many_places");
    }

    /// Whatever it says there, it says of nobody.
    #[test]
    fn a_file_about_special_blocks_only_is_refused() {
        for network in ["10.0.0.0/8", "192.168.0.0/16", "fc00::/7", "127.0.0.1/32", "2001:db8::/32"] {
            assert_eq!(written(network, &country("DE")).unwrap_err(), "database.empty", "{network}");
        }
        // Nor does a country in such a block make a database of anonymisers one of countries.
        let file = File::built_at(JUNE_2026).with("10.0.0.0/8", &country("DE"));
        let file = file.with("8.8.0.0/16", &map([("is_anonymous", true.into())]));
        let database = Database::from_mmdb(file.bytes(), "written").unwrap();
        assert!(database.knows_anonymity() && !database.knows_countries());
    }

    /// Adds all addresses from `first` to `last`, as the fewest networks that cover them.
    fn add_range(file: &mut File, mut first: u128, last: u128, record: u32) {
        loop {
            let fits = (last - first).checked_add(1).map_or(128, u128::ilog2);
            let host_bits = first.trailing_zeros().min(fits);
            file.network(first, 128 - host_bits, record);
            match first.checked_add(1 << host_bits) {
                Some(next) if next <= last => first = next,
                _ => return,
            }
        }
    }

    /// A large file, written out of the embedded table: table and `maxminddb` agree on every boundary, on its
    /// neighbours and on a million random addresses.
    #[test]
    fn table_and_a_large_file_agree_everywhere() {
        let embedded = Database::embedded().unwrap();
        let mut file = File::built_at(JUNE_2026);
        let mut records = BTreeMap::new();
        let starts: Vec<IpAddr> = embedded.boundaries().collect();
        for (position, first) in starts.iter().enumerate() {
            let Some(code) = embedded.country(*first) else { continue };
            let record = *records.entry(code).or_insert_with(|| file.record(&country(code.as_str())));
            match (*first, starts.get(position + 1)) {
                (IpAddr::V4(first), Some(IpAddr::V4(next))) => {
                    add_range(&mut file, first.to_bits().into(), u128::from(next.to_bits()) - 1, record);
                }
                (IpAddr::V6(first), Some(IpAddr::V6(next))) => {
                    add_range(&mut file, first.to_bits(), next.to_bits() - 1, record);
                }
                _ => {}
            }
        }
        let bytes = file.bytes();
        let database = Database::from_mmdb(bytes.clone(), "written").unwrap();
        let reader = maxminddb::Reader::from_source(bytes).unwrap();
        let mut state = 1_u64;
        let mut random = || {
            // Weyl sequence and a mix: the addresses need spread, not secrecy.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed ^ (mixed >> 31)
        };
        let mut addresses: Vec<IpAddr> = starts.into_iter().flat_map(neighbours).collect();
        let boundaries = addresses.len();
        let v6: Vec<u128> = embedded
            .boundaries()
            .filter_map(|ip| match ip {
                IpAddr::V6(ip) => Some(ip.to_bits()),
                IpAddr::V4(_) => None,
            })
            .collect();
        for _ in 0..500_000 {
            addresses.push(IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(random() >> 32).unwrap())));
            let near = v6[usize::try_from(random() >> 32).unwrap() % v6.len()];
            addresses.push(IpAddr::V6(Ipv6Addr::from_bits(near | u128::from(random()))));
        }
        let mut compared = 0;
        for address in &addresses {
            // What stands for an IPv4 address is judged by it.
            let stands_for_v4 = matches!(address, IpAddr::V6(v6) if matches!(v6.segments(), [0x2002, ..] | [0x2001, 0, ..] | [0, ..] | [0x64, 0xff9b, ..]));
            let located = database.locate(*address);
            if stands_for_v4 || located == Located::NotPublic {
                continue;
            }
            let record: Option<Record<'_>> = reader.lookup(*address).unwrap().decode().unwrap();
            let expected = record.and_then(|record| record.country).and_then(|country| country.iso_code);
            let place = database.country(*address);
            assert_eq!(place.as_ref().map(|country| country.as_str()), expected, "{address}");
            compared += 1;
        }
        assert!(boundaries > 1_000_000 && compared > 1_700_000, "{compared} of {}", addresses.len());
    }
}
