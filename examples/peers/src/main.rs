//! The family beside its peers.
//!
//! ```sh
//! cargo run --release --manifest-path examples/peers/Cargo.toml -- url --quick
//! ```
//!
//! Measures ours and the peer in interleaved runs on the same inputs, which are the same in every run, and prints
//! one line per figure: `ratio <block>.<figure> <ours> <peer> <unit> <ours/peer>`. Times are in nanoseconds unless
//! the unit says otherwise; `-` stands where there is no peer. Each file says what either side is given and does.

mod audit;
mod bench;
mod callers;
mod child;
mod disk;
mod geo;
mod log;
mod measure;
mod password;
mod random;
mod url;
mod verdicts;
mod webhook;

use std::process::ExitCode;

use crate::bench::Bench;
use crate::measure::{Effort, Failure};

const USAGE: &str = "\
usage: compliance-peers BLOCK [--quick]

  BLOCK     geo, password, url, webhook, log or audit
  --quick   fewer rounds: about a minute
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (name, effort) = match args.as_slice() {
        // The other processes of the webhook and the audit block.
        ["backlog"] => return ended(webhook::measure_backlog()),
        ["trail"] => return ended(audit::measure_memory()),
        ["receiver", scheme] => return ended(webhook::receiver::serve(scheme)),
        [name] => (*name, Effort::FULL),
        [name, "--quick"] | ["--quick", name] => (*name, Effort::QUICK),
        _ => return usage(),
    };
    let Some(block) = block(name) else { return usage() };
    let mut bench = Bench::new(effort);
    if let Err(error) = block(&mut bench) {
        bench.missing(name, &error.to_string());
    }
    if bench.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn ended(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compliance-peers: {error}");
            ExitCode::FAILURE
        }
    }
}

type Block = fn(&mut Bench) -> Result<(), Failure>;

fn block(name: &str) -> Option<Block> {
    Some(match name {
        "audit" => audit::figures,
        "geo" => geo::figures,
        "log" => log::figures,
        "password" => password::figures,
        "url" => url::figures,
        "webhook" => webhook::figures,
        _ => return None,
    })
}

fn usage() -> ExitCode {
    eprint!("{USAGE}");
    ExitCode::from(2)
}
