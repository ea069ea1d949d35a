//! A small service that answers only where it may: client address, transport and embargo before one handler, and
//! every refusal on record before it is answered.
//!
//! ```sh
//! cargo run --release -p compliance-examples --bin geo                # a round of visitors, and what the trail says
//! cargo run --release -p compliance-examples --bin geo -- --report-only   # decides and records, lets everybody pass
//! cargo run --release -p compliance-examples --bin geo -- --listen 127.0.0.1:8080   # stays
//! ```
//!
//! The proxy in front is played by whoever connects from this machine: it says in `X-Forwarded-For` whom it saw and in
//! `X-Forwarded-Proto` how.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that tells a story on the terminal"
)]

mod service;
mod visit;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use compliance_core::clock::{Clock, ManualClock, SystemClock, Timestamp};

use crate::service::{Service, ServiceConfig};
use crate::visit::VISITORS;

/// Whatever stops the program. A library would have an error type of its own.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The round plays on this day, whatever day it is: the embedded data is young enough then.
const DAY_OF_THE_ROUND: &str = "2026-11-21T12:00:00Z";

const USAGE: &str = "\
usage: geo [--report-only] [--listen ADDRESS:PORT] [--at TIME]

  --report-only  decide and record, but let everybody pass
  --listen       stay, and serve here (default: play a round of visitors on a free port, and exit)
  --at           the time at which the service starts (default: now with --listen, else the day of the round, for
                 which the embedded data is young enough)
";

struct Options {
    report_only: bool,
    listen: Option<SocketAddr>,
    at: Option<Timestamp>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self { report_only: false, listen: None, at: None };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--report-only" => options.report_only = true,
                "--listen" => options.listen = Some(args.next()?.parse().ok()?),
                "--at" => options.at = Some(args.next()?.parse().ok()?),
                _ => return None,
            }
        }
        Some(options)
    }

    fn clock(&self) -> Result<Arc<dyn Clock>, Failure> {
        Ok(match (self.at, self.listen) {
            (Some(at), _) => Arc::new(ManualClock::at(at)),
            (None, Some(_)) => Arc::new(SystemClock),
            (None, None) => Arc::new(ManualClock::at(DAY_OF_THE_ROUND.parse()?)),
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("geo: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything went as it should.
async fn run(options: Options) -> Result<bool, Failure> {
    let clock = options.clock()?;
    let config =
        ServiceConfig { clock: Arc::clone(&clock), listen: options.listen, report_only: options.report_only };
    let service = Service::start(config).await?;
    println!("serving on http://{}", service.address());
    if options.listen.is_some() {
        tokio::signal::ctrl_c().await?;
        drop(service.stop().await?);
        return Ok(true);
    }
    let mut as_expected = true;
    for visitor in &VISITORS {
        let status = visit::visit(service.address(), visitor).await?;
        let expected = if options.report_only { 200 } else { visitor.status };
        as_expected &= status == expected;
        println!("{status}  {}", visitor.story);
    }
    let trail = service.stop().await?;
    println!("\nwhat the trail says:");
    for line in trail.lines()? {
        println!("  {line}");
    }
    Ok(as_expected)
}
