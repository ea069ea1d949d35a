//! webhooksmith, asked from outside: `compliance-peers-webhooksmith URL DATABASE`.
//!
//! For each line with a number on standard input: enqueues as many messages, then has the engine deliver them, and
//! prints how many per second that were. Enqueuing is not counted.

use std::error::Error;
use std::io::{self, BufRead as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use webhooksmith::SqliteEngine;

/// How often is looked whether all are delivered; a small part of what a round takes.
const POLL: Duration = Duration::from_millis(20);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, database] = args.as_slice() else {
        return Err("usage: compliance-peers-webhooksmith URL DATABASE".into());
    };
    let runtime = Runtime::new()?;
    let (engine, endpoint) = runtime.block_on(async {
        let builder = SqliteEngine::builder().database_url(format!("sqlite:{database}?mode=rwc"));
        // For a receiver on this machine.
        let engine = builder.allow_insecure_urls().build().await?;
        engine.migrate().await?;
        let endpoint = engine.register(url, "a secret of at least 16 bytes").await?;
        Ok::<_, webhooksmith::HooksmithError>((Arc::new(engine), endpoint.id))
    })?;
    let mut delivered = 0;
    for line in io::stdin().lock().lines() {
        let count: usize = line?.trim().parse()?;
        delivered += i64::try_from(count)?;
        let rate = runtime.block_on(async {
            for sequence in 0..count {
                engine.send("invoice.paid", payload(sequence), endpoint).await?;
            }
            let started = Instant::now();
            // In a task of its own: the engine has one connection, which a question asked here would keep.
            let done = tokio::spawn(all_delivered(Arc::clone(&engine), delivered));
            engine.run_graceful(async { drop(done.await) }).await;
            Ok::<_, webhooksmith::HooksmithError>(count as f64 / started.elapsed().as_secs_f64())
        })?;
        println!("{rate}");
        io::stdout().flush()?;
    }
    Ok(())
}

async fn all_delivered(engine: Arc<SqliteEngine>, count: i64) {
    while engine.queue_stats().await.map_or(0, |stats| stats.delivered) < count {
        tokio::time::sleep(POLL).await;
    }
}

/// JSON of 1 KiB.
fn payload(sequence: usize) -> Value {
    const LEN: usize = 1024;
    let bare = json!({"type": "invoice.paid", "sequence": sequence, "data": ""}).to_string().len();
    json!({"type": "invoice.paid", "sequence": sequence, "data": "x".repeat(LEN.saturating_sub(bare))})
}
