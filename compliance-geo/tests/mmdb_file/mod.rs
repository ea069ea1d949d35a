//! Writes MaxMind DB files (MaxMind DB 2.0, <https://maxmind.github.io/MaxMind-DB/>) for the tests that need one with
//! a content of their own: one tree over IPv6 with IPv4 at `::/96`, 32-bit records.

use std::net::IpAddr;

/// A record's content, as far as the tests need it.
pub(crate) enum Value {
    Bool(bool),
    Count(u16),
    List(Vec<Value>),
    Map(Vec<(&'static str, Value)>),
    Pointer(u32),
    Text(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A pointer to what stands there in the file's data.
impl From<u32> for Value {
    fn from(offset: u32) -> Self {
        Self::Pointer(offset)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

pub(crate) fn map<const LEN: usize>(pairs: [(&'static str, Value); LEN]) -> Value {
    Value::Map(pairs.into())
}

/// `{"country": {"iso_code": code}}`.
pub(crate) fn country(code: &str) -> Value {
    map([("country", map([("iso_code", code.into())]))])
}

impl Value {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(flag) => out.extend([u8::from(*flag), 7]),
            Self::Count(count) => {
                out.push(5 << 5 | 2);
                out.extend(count.to_be_bytes());
            }
            Self::List(list) => {
                out.extend([u8::try_from(list.len()).unwrap(), 4]);
                list.iter().for_each(|value| value.write(out));
            }
            Self::Map(pairs) => {
                out.push(7 << 5 | u8::try_from(pairs.len()).unwrap());
                for (key, value) in pairs {
                    Self::from(*key).write(out);
                    value.write(out);
                }
            }
            Self::Pointer(offset) => {
                out.push(1 << 5 | 3 << 3);
                out.extend(offset.to_be_bytes());
            }
            Self::Text(text) => {
                match u8::try_from(text.len()).unwrap() {
                    len @ ..=28 => out.push(2 << 5 | len),
                    len => out.extend([2 << 5 | 29, len - 29]),
                }
                out.extend(text.bytes());
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Record {
    NoData,
    Node(u32),
    Data(u32),
}

/// A file under construction.
pub(crate) struct File {
    nodes: Vec<[Record; 2]>,
    data: Vec<u8>,
    build_epoch: u64,
}

impl File {
    pub(crate) fn built_at(build_epoch: u64) -> Self {
        Self { nodes: vec![[Record::NoData; 2]], data: Vec::new(), build_epoch }
    }

    /// Adds a record; answers where it is.
    pub(crate) fn record(&mut self, value: &Value) -> u32 {
        let offset = u32::try_from(self.data.len()).unwrap();
        value.write(&mut self.data);
        offset
    }

    /// Adds a network in CIDR form with a record of its own.
    pub(crate) fn with(mut self, network: &str, value: &Value) -> Self {
        let (ip, len) = network.split_once('/').unwrap();
        let len: u32 = len.parse().unwrap();
        let (first, len) = match ip.parse().unwrap() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), len + 96),
            IpAddr::V6(v6) => (v6.to_bits(), len),
        };
        let record = self.record(value);
        self.network(first, len, record);
        self
    }

    /// Adds a network of IPv6, in which IPv4 lies at the beginning.
    pub(crate) fn network(&mut self, network: u128, prefix_len: u32, record: u32) {
        let mut node = 0;
        for depth in 0..prefix_len {
            let side = usize::from(network >> (127 - depth) & 1 == 1);
            let grown = u32::try_from(self.nodes.len()).unwrap();
            let slot = &mut self.nodes[node][side];
            if depth + 1 == prefix_len {
                *slot = Record::Data(record);
                return;
            }
            match *slot {
                Record::Node(next) => node = next as usize,
                Record::NoData | Record::Data(_) => {
                    let inherited = *slot;
                    *slot = Record::Node(grown);
                    node = grown as usize;
                    self.nodes.push([inherited; 2]);
                }
            }
        }
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        let count = u32::try_from(self.nodes.len()).unwrap();
        let mut file = Vec::with_capacity(self.nodes.len() * 8 + self.data.len() + 512);
        for record in self.nodes.iter().flatten() {
            let value = match record {
                Record::NoData => count,
                Record::Node(node) => *node,
                Record::Data(offset) => count + 16 + offset,
            };
            file.extend(value.to_be_bytes());
        }
        file.extend([0; 16]);
        file.extend(self.data);
        file.extend(b"\xab\xcd\xefMaxMind.com");
        // Numbers of 64 and 32 bits, written by hand: 8 bytes of extended type 9, 4 bytes of type 6.
        file.push(7 << 5 | 9);
        for (name, number) in [
            ("binary_format_major_version", 2),
            ("binary_format_minor_version", 0),
            ("ip_version", 6),
            ("record_size", 32),
        ] {
            Value::from(name).write(&mut file);
            Value::Count(number).write(&mut file);
        }
        Value::from("build_epoch").write(&mut file);
        file.extend([8, 2]);
        file.extend(self.build_epoch.to_be_bytes());
        Value::from("node_count").write(&mut file);
        file.push(6 << 5 | 4);
        file.extend(count.to_be_bytes());
        for (name, value) in [
            ("database_type", "Test".into()),
            ("description", map([("en", "written for a test".into())])),
            ("languages", Value::List(Vec::new())),
        ] {
            Value::from(name).write(&mut file);
            value.write(&mut file);
        }
        file
    }
}
