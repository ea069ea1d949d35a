//! Processes that die while they record: what was acknowledged is there afterwards.

#![expect(clippy::cast_possible_truncation, reason = "the values are small, or meant to be cut")]

mod trace;
mod trail;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use compliance_core::clock::SystemClock;
use compliance_core::event::Sink;
use compliance_log::audit::segment::records;
use compliance_log::audit::verify::verify;
use compliance_log::audit::{AuditLog, Verdict, VerifyOptions};
use trace::{can_trace, skip};
use trail::{config, event, key};

/// Names the directory to the process that is to die.
const VICTIM: &str = "COMPLIANCE_AUDIT_VICTIM";

/// Starts this very test once more, as the process that records and is killed.
fn victim(test: &str, dir: &Path, shell: Option<&str>) -> Child {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", test, "--nocapture", "--test-threads=1"];
    let mut command = match shell {
        None => Command::new(program),
        Some(script) => {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("{script}; exec \"$0\" \"$@\"")]).arg(program);
            command
        }
    };
    command.args(arguments).env(VICTIM, dir).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Records from eight threads and says aloud what was acknowledged, until it is killed or refused.
fn record_until_the_end(dir: &Path, segment_len: u64) {
    let (log, report) = AuditLog::open(dir, config().segment_len(segment_len), SystemClock).unwrap();
    let (log, records) = (&log, report.records());
    std::thread::scope(|scope| {
        for caller in 0..8 {
            scope.spawn(move || {
                for number in 0.. {
                    let event = event(records * 1000 + caller * 1_000_000_000 + number);
                    let line = match log.record(event).wait() {
                        Ok(receipt) => format!("\nack {} {}\n", receipt.sequence(), receipt.digest()),
                        Err(error) => format!("\nrefused {}\n", error.code()),
                    };
                    // One write for one line; the parent ignores what is cut.
                    let mut out = std::io::stdout().lock();
                    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err()
                        || line.starts_with("\nrefused")
                    {
                        return;
                    }
                }
            });
        }
    });
}

/// What a victim said before it ended: acknowledged records, and the codes it was refused with.
#[derive(Default)]
struct Said {
    acknowledged: BTreeMap<u64, String>,
    refused: Vec<String>,
}

impl Said {
    fn listen(&mut self, out: impl BufRead, enough: usize) {
        for line in out.lines().map_while(Result::ok) {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["ack", sequence, digest] if digest.len() == 64 => {
                    let before = self.acknowledged.insert(sequence.parse().unwrap(), digest.to_owned());
                    assert_eq!(before, None, "number {sequence} was given twice");
                }
                ["refused", code] => self.refused.push(code.to_owned()),
                _ => {}
            }
            if self.acknowledged.len() >= enough {
                return;
            }
        }
    }

    /// Reopens the trail, which cuts what was torn, and looks for every acknowledged record; how many records there
    /// are and how many bytes were cut.
    fn all_found(&self, dir: &Path) -> (usize, u64) {
        let (log, report) = AuditLog::open(dir, config(), SystemClock).unwrap();
        drop(log);
        let kept: Vec<_> =
            records(dir).unwrap().map(|record| record.unwrap().event().digest().to_string()).collect();
        assert_eq!(report.records(), kept.len() as u64);
        let lost =
            self.acknowledged.iter().filter(|(at, digest)| kept.get(**at as usize) != Some(digest)).count();
        assert_eq!(lost, 0, "of {} acknowledged", self.acknowledged.len());
        let options = VerifyOptions::new().key(key().verifying_key().clone()).read_events();
        assert_eq!(verify(dir, &options).unwrap().verdict(), Verdict::TamperDetecting);
        (kept.len(), report.torn_bytes())
    }
}

#[test]
fn a_killed_process_loses_no_acknowledged_record() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        return record_until_the_end(Path::new(&dir), 64 * 1024);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut said = Said::default();
    for round in 1..=8 {
        let mut child = victim("a_killed_process_loses_no_acknowledged_record", dir.path(), None);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let enough = said.acknowledged.len() + 37 * round;
        said.listen(&mut out, enough);
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said between the last line read and its death counts too.
        said.listen(&mut out, usize::MAX);
        assert!(said.acknowledged.len() >= enough);
        let (kept, torn_bytes) = said.all_found(dir.path());
        println!(
            "{} acknowledged, {kept} kept, {torn_bytes} torn bytes cut, 0 lost",
            said.acknowledged.len()
        );
    }
}

/// A file size limit makes a write fail in the middle of the run, as a full or failing disk does.
#[cfg(unix)]
#[test]
fn a_failed_write_poisons_the_log_until_it_is_reopened() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        return record_until_the_end(Path::new(&dir), 1024 * 1024);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut said = Said::default();
    // Blocks are of 512 or 1024 bytes; either way the limit lies between the first space ahead and the segment.
    let limit = "trap '' XFSZ; ulimit -f 400";
    let mut child = victim("a_failed_write_poisons_the_log_until_it_is_reopened", dir.path(), Some(limit));
    said.listen(BufReader::new(child.stdout.take().unwrap()), usize::MAX);
    assert!(child.wait().unwrap().success(), "it must end by itself");
    assert_eq!(said.refused, ["record.poisoned"; 8], "every caller is told");
    assert!(said.acknowledged.len() > 100);
    said.all_found(dir.path());
}

/// A process that runs out of file descriptors needs none to record. Checkpoints go on, into the segment; the next segment
/// waits for better times.
#[cfg(unix)]
#[test]
fn a_process_that_can_open_no_more_files_goes_on_recording() {
    const NAME: &str = "a_process_that_can_open_no_more_files_goes_on_recording";
    if let Some(dir) = std::env::var_os(VICTIM) {
        let (log, _) = AuditLog::open(dir, config(), SystemClock).unwrap();
        let record = |numbers: std::ops::Range<u64>| {
            for number in numbers {
                match log.record(event(number)).wait() {
                    Ok(receipt) => println!("\nack {} {}", receipt.sequence(), receipt.digest()),
                    Err(error) => println!("\nrefused {}", error.code()),
                }
            }
        };
        record(0..5);
        let all: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        assert!((1..60).contains(&all.len()));
        record(5..205);
        drop(all);
        record(205..305);
        log.close().unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut said = Said::default();
    let mut child = victim(NAME, dir.path(), Some("ulimit -n 60"));
    said.listen(BufReader::new(child.stdout.take().unwrap()), usize::MAX);
    assert!(child.wait().unwrap().success());
    assert_eq!((said.acknowledged.len(), said.refused.len()), (305, 0));
    said.all_found(dir.path());
    let mut names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| trail::first_of_name(&entry.unwrap())).collect();
    names.sort_unstable();
    let firsts: Vec<_> = names.into_iter().flatten().collect();
    assert!(firsts.len() > 5 && firsts[1] > 205, "{firsts:?}");
}

/// How many records the process under injected faults tries to write.
const TRIES: u64 = 40;

/// Records one after the other, over several segments, closes the trail half-way, opens it again and closes it; stops at
/// the first refusal.
fn record_a_few(dir: &Path) {
    for end in [TRIES / 2, TRIES] {
        if record_until(dir, end).is_none() {
            return;
        }
    }
}

fn record_until(dir: &Path, end: u64) -> Option<()> {
    let (log, report) = AuditLog::open(dir, config(), SystemClock).ok()?;
    let (mut number, mut was_full) = (report.records(), false);
    while number < end {
        match log.record(event(number)).wait() {
            Ok(receipt) => println!("\nack {} {}", receipt.sequence(), receipt.digest()),
            // Room may be made; everything else is for good.
            Err(error) if error.code() == "record.full" && !was_full => {
                println!("\nrefused {}", error.code());
                was_full = true;
                continue;
            }
            Err(error) => {
                println!("\nrefused {}", error.code());
                return None;
            }
        }
        number += 1;
    }
    if let Err(error) = log.close() {
        println!("\nrefused {}", error.code());
        return None;
    }
    Some(())
}

/// Every system call that the log makes on its own files, whatever it is called on this machine.
const CALLS: [&str; 16] = [
    "?close",
    "?fdatasync",
    "?flock",
    "?fsync",
    "?ftruncate,?ftruncate64",
    "?getdents64",
    "?lseek,?_llseek",
    "?mkdir,?mkdirat",
    "?newfstatat,?fstatat64,?fstat",
    "?open,?openat",
    "?read,?pread64",
    "?readlink,?readlinkat",
    "?rename,?renameat,?renameat2",
    "?statx",
    "?unlink,?unlinkat",
    "?write,?pwrite64",
];

/// Every call of every kind the log makes fails once, runs out of space once, and is the last thing the process does
/// once. Whatever was acknowledged before is there, and the trail opens again.
#[test]
fn no_failing_system_call_loses_an_acknowledged_record() {
    const NAME: &str = "no_failing_system_call_loses_an_acknowledged_record";
    if let Some(dir) = std::env::var_os(VICTIM) {
        return record_a_few(Path::new(&dir));
    }
    if !can_trace() {
        return;
    }
    let mut pairs = Vec::new();
    for call in CALLS {
        pairs.extend(["error=EIO", "error=ENOSPC", "signal=SIGKILL"].map(|fault| (call, fault)));
        // A file system that was mounted anew, read-only, refuses what would change it.
        if ["open", "mkdir", "rename", "unlink"].iter().any(|name| call.contains(name)) {
            pairs.push((call, "error=EROFS"));
        }
    }
    let (waiting, total) = (Mutex::new(pairs.into_iter()), Mutex::new(Swept::default()));
    // They wait for the disk most of the time.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().next();
                    let Some((call, fault)) = next else { return };
                    let swept = sweep(NAME, call, fault);
                    total.lock().unwrap().add(swept);
                }
            });
        }
    });
    let Swept { faults, refused, acknowledged, never } = total.into_inner().unwrap();
    println!(
        "{faults} faults, {refused} refusals, {acknowledged} acknowledged, 0 lost; never made: {never:?}"
    );
    assert!(faults > 100 && refused > 20 && never.len() <= 6);
}

#[derive(Default)]
struct Swept {
    faults: usize,
    refused: usize,
    acknowledged: usize,
    /// Calls that were never made.
    never: Vec<String>,
}

impl Swept {
    fn add(&mut self, other: Self) {
        self.faults += other.faults;
        self.refused += other.refused;
        self.acknowledged += other.acknowledged;
        self.never.extend(other.never);
    }
}

/// One kind of fault at one kind of call: at the first three, then ever sparser, until the run ends before it strikes.
fn sweep(test: &str, call: &str, fault: &str) -> Swept {
    let (mut swept, mut when) = (Swept::default(), 1);
    loop {
        let dir = tempfile::tempdir().unwrap();
        // Not there yet, so that it is made.
        let trail = dir.path().join("trail");
        let (said, has_struck) = traced(test, &trail, call, &format!("{fault}:when={when}"));
        said.all_found(&trail);
        swept.refused += said.refused.len();
        swept.acknowledged += said.acknowledged.len();
        if !has_struck {
            break;
        }
        swept.faults += 1;
        when += 1 + when / 3;
    }
    if swept.faults == 0 {
        swept.never.push(format!("{call} {fault}"));
    }
    swept
}

/// What the process said, and whether the fault struck it.
fn traced(test: &str, dir: &Path, call: &str, fault: &str) -> (Said, bool) {
    let told = dir.with_extension("strace");
    let mut command = Command::new("strace");
    command.arg("-f").arg("-o").arg(&told).args([
        "-e",
        &format!("trace={call}"),
        "-e",
        &format!("inject={call}:{fault}"),
    ]);
    // Only the trail's own files; the program's loader and its output are left alone.
    let named = ["", "lock", "checkpoint", "checkpoint.tmp", "segment.tmp", "reserve"].map(str::to_owned);
    for name in named.into_iter().chain((0..=TRIES).map(|first| format!("{first:020}.seg"))) {
        command.arg("-P").arg(if name.is_empty() { dir.to_owned() } else { dir.join(name) });
    }
    command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture", "--test-threads=1"]);
    let output = command.env(VICTIM, dir).stderr(Stdio::null()).output().unwrap();
    let mut said = Said::default();
    said.listen(BufReader::new(&output.stdout[..]), usize::MAX);
    let told = std::fs::read_to_string(told).unwrap();
    let has_struck = ["(INJECTED)", "killed by SIGKILL"].iter().any(|sign| told.contains(sign));
    (said, has_struck)
}

/// Each directory that is made for a trail has its entry synchronised, also where the path is relative.
#[cfg(target_os = "linux")]
#[test]
fn every_directory_that_is_made_is_there_after_a_crash() {
    const NAME: &str = "every_directory_that_is_made_is_there_after_a_crash";
    if std::env::var_os(VICTIM).is_some() {
        drop(AuditLog::open("a/b/trail", config(), SystemClock).unwrap());
        return;
    }
    if !can_trace() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let told = dir.join("strace");
    let status = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=?mkdir,?mkdirat,fsync", "-o"])
        .arg(&told)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
        .env(VICTIM, "here")
        .current_dir(&dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let told = std::fs::read_to_string(told).unwrap();
    let mut rest = told.as_str();
    for (made, parent) in [("\"a\"", ""), ("\"a/b\"", "/a"), ("\"a/b/trail\"", "/a/b")] {
        let synced = format!("<{}{parent}>)", dir.display());
        for sign in [made, &synced] {
            rest = rest
                .split_once(sign)
                .unwrap_or_else(|| panic!("{sign} is missing or out of order: {told}"))
                .1;
        }
    }
}

/// Stands between a program and the C library: writes of files come out short, by half each time.
#[cfg(target_os = "linux")]
const SHORT_WRITES: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned long shortened;

ssize_t write(int fd, const void *bytes, size_t count) {
    ssize_t (*next)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    struct stat file;
    if (count > 1 && fstat(fd, &file) == 0 && S_ISREG(file.st_mode)) {
        __atomic_add_fetch(&shortened, 1, __ATOMIC_RELAXED);
        count /= 2;
    }
    return next(fd, bytes, count);
}

__attribute__((destructor)) static void tell(void) { fprintf(stderr, "\nshortened %lu\n", shortened); }
"#;

/// A write that takes only a part of what it is given is gone on with: every record, checkpoint and space ahead.
#[cfg(target_os = "linux")]
#[test]
fn short_writes_are_gone_on_with() {
    const NAME: &str = "short_writes_are_gone_on_with";
    if let Some(dir) = std::env::var_os(VICTIM) {
        return record_a_few(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let (source, shim) = (dir.path().join("short.c"), dir.path().join("short.so"));
    std::fs::write(&source, SHORT_WRITES).unwrap();
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(&source).arg("-ldl").status();
    if !compiled.is_ok_and(|status| status.success()) {
        skip("there is no C compiler");
        return;
    }
    let trail = dir.path().join("trail");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
        .env(VICTIM, &trail)
        .env("LD_PRELOAD", &shim)
        .output()
        .unwrap();
    let mut said = Said::default();
    said.listen(BufReader::new(&output.stdout[..]), usize::MAX);
    let told = String::from_utf8(output.stderr).unwrap();
    let shortened = told.lines().find_map(|line| line.strip_prefix("shortened ")?.parse::<u64>().ok());
    let shortened = shortened.unwrap_or_else(|| panic!("nothing was shortened: {told}"));
    assert_eq!((said.acknowledged.len() as u64, said.refused.len()), (TRIES, 0));
    assert!(shortened > TRIES, "{shortened}");
    let (kept, torn_bytes) = said.all_found(&trail);
    assert_eq!(torn_bytes, 0);
    println!("{shortened} short writes, {} acknowledged, {kept} kept, 0 lost", said.acknowledged.len());
}
