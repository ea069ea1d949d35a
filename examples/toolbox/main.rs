//! Every decision of the family from the command line: JSON Lines in on stdin, JSON Lines out on stdout.
//!
//! ```sh
//! echo '{"input":"//evil.example","base":"https://app.example.com/login"}' |
//!   cargo run -q --release -p compliance-examples --bin toolbox -- redirect
//! ```
//!
//! One answer per input line and in order; an `id` in the input is echoed; unknown fields are ignored. A line
//! that is no JSON object, or has a field of the wrong type, is answered with `{"error": "…"}` and the next
//! line is read.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program tells people how to use it"
)]

mod audit;
mod auth;
mod breach;
mod geo;
mod lines;
mod log;
mod outside;
mod webhook;

use std::process::ExitCode;

use crate::lines::answer_lines;

const USAGE: &str = "\
usage: toolbox BLOCK [OPTIONS]   (JSON Lines on stdin, one answer line each on stdout)

  address                       {\"input\":\"ip\"}
  audit verify DIR [--key VKEY] [--anchor FILE]
  audit export DIR --format ocsf|jsonl|csv
  audit receipt DIR SEQUENCE
  audit check RECEIPT --key VKEY
  audit erase DIR SUBJECT --keys DIR|FILE --kek FILE --seed FILE --ledger FILE [--tenant TENANT]
  breach build FROM OUT --as-of DATE [--source NAME] [--bits 8|16] [--shard-bits N] [--min-count N] [--partial]
  client-ip                     {\"peer\",\"headers\":[[name,value]],\"trusted\":[cidr],\"source\"?}
  embargo [--database FILE]…    {\"ip\",\"policy\":\"us\"|\"eu\"|\"uk\"|\"un\"|\"all\",\"now\"?}
  endpoint                      {\"input\":\"url\",\"ports\":[443],\"resolve\":{\"host\":[\"ip\"]}}
  origin-pattern                {\"input\"}
  password [--breach FILE]      {\"password\",\"context\":[],\"profile\"?}
  redact                        {\"text\"}
  redirect                      {\"input\",\"base\",\"allow_origins\":[],\"schemes\":[\"https\"]}
  redirect-uri                  {\"input\",\"registered\":[]}
  sign                          {\"id\",\"timestamp\",\"payload\"|\"payload_base64\",\"secret\"}
  verify                        {\"headers\":{},\"payload\"|\"payload_base64\",\"secrets\":[],\"now\"}
";

/// What a block's command line came to.
enum Ended {
    /// It did its work.
    Done,
    /// It did its work, and what it looked at is not in order.
    NotInOrder,
    /// It was called wrongly, or could not read or write.
    Failed(String),
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if args == ["--help"] {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match run(&args) {
        Some(Ended::Done) => ExitCode::SUCCESS,
        Some(Ended::NotInOrder) => ExitCode::from(1),
        Some(Ended::Failed(why)) => {
            eprintln!("toolbox: {why}");
            ExitCode::from(2)
        }
        None => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// `None` when there is no such block, or it takes other arguments.
fn run(args: &[&str]) -> Option<Ended> {
    Some(match args {
        ["address"] => answer_lines(outside::address),
        ["audit", "check", receipt, "--key", key] => audit::check(receipt, key),
        ["audit", "erase", dir, subject, options @ ..] => audit::erase(dir, subject, options)?,
        ["audit", "export", dir, "--format", format] => audit::export(dir, format)?,
        ["audit", "receipt", dir, sequence] => audit::receipt(dir, sequence)?,
        ["audit", "verify", dir, options @ ..] => audit::verify(dir, options)?,
        ["breach", "build", from, out, options @ ..] => breach::build(from, out, options)?,
        ["client-ip"] => answer_lines(geo::client_ip),
        ["embargo", options @ ..] => geo::embargo(options)?,
        ["endpoint"] => answer_lines(outside::endpoint),
        ["origin-pattern"] => answer_lines(auth::origin_pattern),
        ["password", options @ ..] => auth::password(options)?,
        ["redact"] => answer_lines(log::redact()),
        ["redirect"] => answer_lines(auth::redirect),
        ["redirect-uri"] => answer_lines(auth::redirect_uri),
        ["sign"] => answer_lines(webhook::sign),
        ["verify"] => answer_lines(webhook::verify),
        _ => return None,
    })
}
