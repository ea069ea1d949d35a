//! The round: who comes, from where, and what they should get.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failure;

/// Somebody who asks for the download.
pub(crate) struct Visitor {
    pub(crate) story: &'static str,
    pub(crate) headers: &'static str,
    /// What they get; while the checks only report, everybody gets 200.
    pub(crate) status: u16,
}

pub(crate) const VISITORS: [Visitor; 8] = [
    Visitor {
        story: "from Sydney over TLS: served",
        headers: "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n",
        status: 200,
    },
    Visitor {
        story: "from Tehran, with a forged first entry: embargoed",
        headers: "X-Forwarded-For: 1.1.1.1, 5.22.4.4\r\nX-Forwarded-Proto: https\r\n",
        status: 451,
    },
    Visitor {
        story: "from Tehran, as a dual-stack proxy shows it: embargoed",
        headers: "X-Forwarded-For: ::ffff:5.22.4.4\r\nX-Forwarded-Proto: https\r\n",
        status: 451,
    },
    Visitor {
        story: "from Pyongyang, through 6to4: embargoed",
        headers: "X-Forwarded-For: 2002:af2d:b202::1\r\nX-Forwarded-Proto: https\r\n",
        status: 451,
    },
    Visitor {
        story: "from Kyiv: the table does not know regions, so a person has to look",
        headers: "X-Forwarded-For: 194.0.200.1\r\nX-Forwarded-Proto: https\r\n",
        status: 403,
    },
    Visitor {
        story: "from a private network: nobody knows where that is",
        headers: "X-Forwarded-For: 192.168.1.1\r\nX-Forwarded-Proto: https\r\n",
        status: 403,
    },
    Visitor {
        story: "in plaintext: refused, not redirected",
        headers: "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: http\r\n",
        status: 403,
    },
    Visitor {
        story: "from a proxy that says nonsense: refused",
        headers: "X-Forwarded-For: 1.1.1.1, nonsense\r\nX-Forwarded-Proto: https\r\n",
        status: 403,
    },
];

/// Asks as the proxy would; answers the status.
pub(crate) async fn visit(service: SocketAddr, visitor: &Visitor) -> Result<u16, Failure> {
    let mut stream = TcpStream::connect(service).await?;
    let request = format!(
        "GET /download HTTP/1.1\r\nHost: geo.example\r\nConnection: close\r\n{}\r\n",
        visitor.headers
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).ok_or("an answer without a status")?;
    Ok(status.parse()?)
}
