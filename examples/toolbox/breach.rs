//! Makes breach filters from the published SHA-1 ranges.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use compliance_auth::password::breach::{BreachFilter, BreachFilterBuilder, FingerprintBits};
use serde_json::json;

use crate::Ended;

/// `breach build FROM OUT --as-of DATE [--source NAME] [--bits 8|16] [--shard-bits N] [--min-count N] [--partial]`
///
/// `FROM` is a folder of ranges or one sorted text of hashes, `-` for stdin. Prints one JSON object.
pub(crate) fn build(from: &str, out: &str, options: &[&str]) -> Option<Ended> {
    let mut as_of = None;
    let (mut source, mut partial) = ("pwned passwords", false);
    let (mut bits, mut shard_bits, mut min_count) = (FingerprintBits::Sixteen, 12, 1);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--as-of" => as_of = options.next()?.parse().ok(),
            "--source" => source = options.next()?,
            "--bits" => {
                bits = match *options.next()? {
                    "8" => FingerprintBits::Eight,
                    "16" => FingerprintBits::Sixteen,
                    _ => return None,
                };
            }
            "--shard-bits" => shard_bits = options.next()?.parse().ok()?,
            "--min-count" => min_count = options.next()?.parse().ok()?,
            "--partial" => partial = true,
            _ => return None,
        }
    }
    let plan = BreachFilterBuilder::new(source, as_of?)
        .fingerprint_bits(bits)
        .shard_bits(shard_bits)
        .min_count(min_count);
    Some(match write(&plan, from, out, partial) {
        Ok(()) => report(out),
        Err(why) => Ended::Failed(why),
    })
}

/// Writes a file beside `out` and gives it that name when it is whole: a service may have the old one open.
fn write(plan: &BreachFilterBuilder, from: &str, out: &str, partial: bool) -> Result<(), String> {
    let part = format!("{out}.part");
    let written = write_part(plan, from, &part, partial)
        .and_then(|()| std::fs::rename(&part, out).map_err(|error| error.to_string()));
    if written.is_err() {
        // What it says is why nothing was written; that a rest stays behind is no more than untidy.
        let _ = std::fs::remove_file(&part);
    }
    written
}

fn write_part(plan: &BreachFilterBuilder, from: &str, part: &str, partial: bool) -> Result<(), String> {
    let file = File::create(part).map_err(|error| error.to_string())?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let made = if from == "-" {
        plan.sorted_hashes(std::io::stdin().lock(), &mut file)
    } else if Path::new(from).is_dir() {
        plan.ranges(from, partial, &mut file)
    } else {
        plan.sorted_hashes(File::open(from).map_err(|error| error.to_string())?, &mut file)
    };
    made.map_err(|error| format!("{error} ({})", error.code()))?;
    let file = file.into_inner().map_err(|error| error.to_string())?;
    file.sync_all().map_err(|error| error.to_string())
}

#[expect(clippy::print_stdout, reason = "the answer goes to stdout")]
fn report(out: &str) -> Ended {
    match BreachFilter::open(out) {
        Ok(filter) => {
            let snapshot = filter.snapshot();
            let (entries, as_of) = (snapshot.entries(), snapshot.as_of().to_string());
            println!("{}", json!({"entries": entries, "as_of": as_of, "source": snapshot.source()}));
            Ended::Done
        }
        Err(error) => Ended::Failed(error.to_string()),
    }
}
