//! A small SaaS sign-up that uses every crate of the family, on SQLite and embedded data.
//!
//! ```sh
//! cargo run --release -p compliance-examples --bin signup            # one round, then stays for your browser
//! cargo run --release -p compliance-examples --bin signup -- --once  # one round, exit 1 if it went otherwise
//! ```
//!
//! Read [`signup`] first: it is the handler, and every check is in it. Then [`service`], which puts the checks
//! together, and [`accounts`], which demands their proofs.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that tells a story on the terminal"
)]

mod accounts;
mod keys;
mod logging;
mod pages;
mod receiver;
mod round;
mod service;
mod signup;
mod visitor;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use compliance_core::clock::{Clock, ManualClock, SystemClock, Timestamp};

use crate::logging::Logging;
use crate::service::{Service, ServiceConfig};

/// Whatever stops the program. A library would have an error type of its own.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The round plays on this day, whatever day it is: the embedded data is young enough then.
const DAY_OF_THE_ROUND: &str = "2026-11-21T12:00:00Z";

const USAGE: &str = "\
usage: signup [--once] [--data DIR] [--listen ADDRESS:PORT] [--visitor ADDRESS] [--at TIME]

  --once     play the scripted round and exit: 0 when everything went as it should, 1 when not
  --data     keep accounts, outbox and audit trail in DIR (default: a folder that goes with the program)
  --listen   where the page is served (default 127.0.0.1:8080, or a free port when that is taken)
  --visitor  where your browser pretends to be, since 127.0.0.1 is nowhere (default 1.1.1.1; 5.22.4.4 is in Iran)
  --at       the time at which the service starts (default: now with --data, else the day of the round, for which
             the embedded data is young enough)
";

/// Somebody in Australia.
const VISITOR: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1));

struct Options {
    once: bool,
    data: Option<PathBuf>,
    listen: Option<SocketAddr>,
    visitor: IpAddr,
    at: Option<Timestamp>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self { once: false, data: None, listen: None, visitor: VISITOR, at: None };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--once" => options.once = true,
                "--data" => options.data = Some(args.next()?.into()),
                "--at" => options.at = Some(args.next()?.parse().ok()?),
                "--visitor" => options.visitor = args.next()?.parse().ok()?,
                "--listen" => options.listen = Some(args.next()?.parse().ok()?),
                _ => return None,
            }
        }
        Some(options)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().skip(1).any(|arg| arg == "--help") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("signup: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether the round went as it should.
async fn run(options: Options) -> Result<bool, Failure> {
    let logging = Logging::start()?;
    // A service that is given a folder is being used, not shown: no round on somebody's data.
    if options.once || options.data.is_none() {
        let scratch = tempfile::tempdir()?;
        let clock = Arc::new(ManualClock::at(DAY_OF_THE_ROUND.parse()?));
        let config = ServiceConfig { data: scratch.path().to_owned(), listen: None, visitor: None, clock };
        let mut service = Service::start(config).await?;
        let played = round::play(&mut service, &logging).await?;
        let closed = service.stop().await?;
        let went_well = round::report(&played, scratch.path(), &closed).await?;
        if options.once || !went_well {
            return Ok(went_well);
        }
    }
    logging.echo();
    let clock: Arc<dyn Clock> = match (options.at, &options.data) {
        (None, Some(_)) => Arc::new(SystemClock),
        (None, None) => Arc::new(ClockFrom::start(DAY_OF_THE_ROUND.parse()?)),
        (Some(at), _) => Arc::new(ClockFrom::start(at)),
    };
    let scratch = tempfile::tempdir()?;
    let data = options.data.unwrap_or_else(|| scratch.path().to_owned());
    let visitor = Some(options.visitor);
    let config = ServiceConfig { data, listen: options.listen, visitor, clock };
    let service = Service::start(config).await?;
    let asked_to_end = asked_to_end()?;
    println!("The page: http://{}/signup   (Ctrl-C ends it)", service.address());
    asked_to_end.await?;
    service.stop().await?;
    Ok(true)
}

/// What ends once Ctrl-C is pressed or the program is told to terminate, from this call on.
#[cfg(unix)]
fn asked_to_end() -> std::io::Result<impl Future<Output = std::io::Result<()>>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => Ok(()),
            _ = terminated.recv() => Ok(()),
        }
    })
}

#[cfg(not(unix))]
fn asked_to_end() -> std::io::Result<impl Future<Output = std::io::Result<()>>> {
    Ok(tokio::signal::ctrl_c())
}

/// A clock that runs forward from a time of our choosing.
#[derive(Debug)]
struct ClockFrom {
    at: Timestamp,
    since: Instant,
}

impl ClockFrom {
    fn start(at: Timestamp) -> Self {
        Self { at, since: Instant::now() }
    }
}

impl Clock for ClockFrom {
    fn now(&self) -> Timestamp {
        self.at.saturating_add(self.since.elapsed())
    }
}
