//! Signatures, and delivery out of a durable outbox.

mod drain;
mod enqueue;
mod house;
mod neighbours;
mod payload;
mod raw;
pub(crate) mod receiver;
mod signature;

use std::process::Command;

use crate::bench::Bench;
use crate::measure::{Failure, Measured};

pub(crate) fn figures(bench: &mut Bench) -> Result<(), Failure> {
    let effort = bench.effort;
    bench.figure("webhook.sign_1k", "ns", signature::sign(effort));
    bench.figure("webhook.verify_1k", "ns", signature::verify(effort));
    bench.figure("webhook.enqueue", "ns", enqueue::in_a_transaction(effort));
    match drain::vs_raw(effort) {
        Ok((rate, cpu)) => {
            bench.figure("webhook.drain_vs_raw", "deliveries/s", Ok(rate));
            bench.figure("webhook.cpu_s_per_1k", "s", Ok(cpu));
        }
        Err(error) => bench.missing("webhook.drain_vs_raw", &error.to_string()),
    }
    bench.figure("webhook.drain_vs_webhooksmith", "deliveries/s", drain::vs_webhooksmith(effort));
    bench.figure("webhook.p99_with_ill_neighbours", "ms", neighbours::p99(effort));
    // Building the backlog alone takes longer than a hurry allows.
    if !effort.quick {
        bench.figure("webhook.backlog_100k_memory", "MiB", backlog());
    }
    Ok(())
}

/// In a process of its own, so that its memory is the sender's and nothing else's.
fn backlog() -> Result<Measured, Failure> {
    let output = Command::new(std::env::current_exe()?).arg("backlog").output()?;
    Ok(Measured::alone(String::from_utf8(output.stdout)?.trim().parse()?))
}

/// What the other process does: prints the most memory it took, in MiB.
pub(crate) fn measure_backlog() -> Result<(), Failure> {
    println!("{}", drain::backlog_memory()?);
    Ok(())
}
