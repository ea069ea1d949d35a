//! Redaction: what a line costs that is clean, and one that is not.
//!
//! The lines are those of `redact/dev.jsonl` in the folder `COMPLIANCE_CORPUS` names; where it is not set, lines of
//! the same kinds are made up ([`lines`]).

mod layer;
mod lines;
mod rules;

use std::hint::black_box;

use compliance_log::redact::Redactor;

use self::lines::Lines;
use crate::bench::Bench;
use crate::measure::{Effort, Failure, Measured, cpu_time, side_by_side};

pub(crate) fn figures(bench: &mut Bench) -> Result<(), Failure> {
    let lines = Lines::read()?;
    // First: tables are built once per process.
    first_use(bench, &lines);
    bench.figure("log.scan_clean", "ns", scan_clean(bench.effort, &lines));
    bench.figure("log.scan_dense", "ns", scan_dense(bench.effort, &lines));
    bench.figure("log.layer_json", "ns", Ok(layer::json(bench.effort)));
    Ok(())
}

/// What the first redactor of a process costs: milliseconds of CPU time until its first line is done, and what a thread that
/// redacts every line adds to the process's memory, tables and the thread itself included.
fn first_use(bench: &mut Bench, lines: &Lines) {
    let before = resident();
    let (_, took) = cpu_time(|| Redactor::new().redact("by anna@example.com").len());
    bench.figure("log.construction", "ms", Ok(Measured::alone(took.as_secs_f64() * 1e3)));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let redactor = Redactor::new();
            lines.all.iter().map(|line| black_box(redactor.redact(line)).len()).sum::<usize>()
        });
    });
    let grown = resident().and_then(|after| Ok(Measured::alone((after - before?).max(0.0))));
    bench.figure("log.memory", "KiB", grown);
}

/// The memory of this process that is resident and its own, in KiB: the program's text, which all threads share, is not.
fn resident() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .ok_or("no RssAnon in /proc/self/status")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// The lines without a labelled value, one after the other, per line. Ours: all default detectors. The peer: look
/// for one `@` with `memchr`, about the least that can be done with a line.
fn scan_clean(effort: Effort, lines: &Lines) -> Result<Measured, Failure> {
    let redactor = Redactor::new();
    let changed = lines.clean.iter().filter(|line| redactor.redact(line) != line.as_str()).count();
    if changed * 100 > lines.clean.len() {
        return Err(format!("{changed} of {} clean lines were changed", lines.clean.len()).into());
    }
    Ok(side_by_side(
        effort,
        lines.clean.len(),
        || lines.clean.iter().map(|line| black_box(redactor.redact(line)).len()).sum::<usize>(),
        || {
            lines
                .clean
                .iter()
                .filter(|line| black_box(memchr::memchr(b'@', line.as_bytes())).is_some())
                .count()
        },
    ))
}

/// All lines, per line. Ours: all default detectors, values replaced. The peer: `dd-sensitive-data-scanner` with
/// the [30 rules](rules::all) that come closest, values replaced; it works in place, so that it gets a copy of each
/// line (some 20 ns).
fn scan_dense(effort: Effort, lines: &Lines) -> Result<Measured, Failure> {
    let redactor = Redactor::new();
    let scanner = rules::scanner()?;
    let scan = |line: &String| {
        let mut line = line.clone();
        let found = scanner.scan(&mut line).map_or(0, |matches| matches.len());
        black_box(line);
        found
    };
    let (ours, peer) = (
        lines.all.iter().filter(|line| redactor.redact(line) != line.as_str()).count(),
        lines.all.iter().filter(|line| scan(line) > 0).count(),
    );
    if ours * 2 < lines.all.len() || peer * 2 < lines.all.len() {
        return Err(format!("of {} lines {ours} and {peer} were redacted", lines.all.len()).into());
    }
    Ok(side_by_side(
        effort,
        lines.all.len(),
        || lines.all.iter().map(|line| black_box(redactor.redact(line)).len()).sum::<usize>(),
        || lines.all.iter().map(scan).sum::<usize>(),
    ))
}
