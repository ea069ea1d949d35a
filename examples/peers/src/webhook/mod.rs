//! Signatures, and delivery out of a durable outbox.

mod drain;
mod enqueue;
mod payload;
mod raw;
pub(crate) mod receiver;
mod signature;

use crate::bench::Bench;
use crate::measure::Failure;

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
    Ok(())
}
