//! hickory against a name server of our own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use compliance_webhook::guard::{HickoryResolver, Resolve as _};
use tokio::net::UdpSocket;

use super::ip;

const A: u16 = 1;
const AAAA: u16 = 28;

/// Answers A with 93.184.216.34 and 10.0.0.1, AAAA with `::ffff:10.0.0.1`; keeps the questions.
async fn name_server() -> (SocketAddr, Arc<Mutex<Vec<(String, u16)>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((len, peer)) = socket.recv_from(&mut buffer).await {
            let query = &buffer[..len];
            let (mut at, mut name) = (12, String::new());
            while query[at] != 0 {
                let end = at + 1 + usize::from(query[at]);
                name.push_str(std::str::from_utf8(&query[at + 1..end]).unwrap());
                name.push('.');
                at = end;
            }
            let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
            seen.lock().unwrap().push((name.to_ascii_lowercase(), kind));
            let data: Vec<Vec<u8>> = match kind {
                A => vec![vec![93, 184, 216, 34], vec![10, 0, 0, 1]],
                AAAA => vec!["::ffff:10.0.0.1".parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec()],
                _ => vec![],
            };
            // Id; an answer with recursion; one question, the answers, nothing else.
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::try_from(data.len()).unwrap(), 0, 0, 0, 0]);
            answer.extend(&query[12..at + 5]);
            for address in data {
                answer.extend([0xc0, 12]);
                answer.extend(kind.to_be_bytes());
                answer.extend([0, 1, 0, 0, 0, 60, 0, u8::try_from(address.len()).unwrap()]);
                answer.extend(address);
            }
            socket.send_to(&answer, peer).await.unwrap();
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_and_aaaa_are_asked_for_the_absolute_name_and_every_answer_comes_back() {
    let (server, asked) = name_server().await;
    let resolver = HickoryResolver::asking(&[server]).unwrap();
    let mut answers = resolver.resolve("hooks.example.net").await.unwrap();
    answers.sort();
    assert_eq!(answers, [ip("10.0.0.1"), ip("93.184.216.34"), ip("::ffff:10.0.0.1")]);
    let mut asked = asked.lock().unwrap().clone();
    asked.sort();
    assert_eq!(asked, [("hooks.example.net.".to_owned(), A), ("hooks.example.net.".to_owned(), AAAA)]);
    assert!(resolver.asks_dns());
}
