//! Ledger and key stores under failing, full and dying storage: nobody counts as erased of whom there is something left,
//! and what was left half done opens again and is brought to its end.

mod trace;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use compliance_core::clock::{Clock, SystemClock};
use compliance_core::event::Actor;
use compliance_core::id::{ActorId, SubjectId};
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, KeyId, KeyRing};
use compliance_core::testing::MemorySink;
use compliance_log::audit::erasure::Erasures;
use compliance_log::audit::record::Circumstances;
use compliance_log::key_store::{Approval, CaseId, FileKeyStore, HeldKeyStore, LegalHold, SqliteKeyStore};

/// Names the directory to the process that is to fail.
const VICTIM: &str = "COMPLIANCE_ERASURE_VICTIM";

const PEOPLE: [&str; 2] = ["anna-4711", "ben-0815"];

/// On whom there is a hold, to be lifted.
const HELD: &str = "carl-1";

/// How often one and the same erasure is tried before the process gives up.
const TRIES: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Store {
    File,
    Sqlite,
}

fn keys(dir: &Path, store: Store) -> Arc<dyn HeldKeyStore> {
    let ring = KeyRing::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    match store {
        Store::File => Arc::new(FileKeyStore::open(dir.join("keys"), ring).unwrap()),
        Store::Sqlite => {
            fs::create_dir_all(dir.join("keys")).unwrap();
            Arc::new(SqliteKeyStore::open(dir.join("keys").join("keys.db"), ring).unwrap())
        }
    }
}

fn erasing(dir: &Path, keys: &Arc<dyn HeldKeyStore>) -> Erasures {
    Erasures::open(keys.clone(), dir.join("erasures"), SystemClock).unwrap()
}

fn subject(name: &str) -> SubjectId {
    SubjectId::new(name).unwrap()
}

fn held() -> LegalHold {
    LegalHold::new(subject(HELD).key_owner(None).unwrap(), CaseId::new("case-1").unwrap(), SystemClock.now())
}

fn by() -> Circumstances {
    Circumstances::new(Actor::System, SystemClock.now())
}

/// Whether the name is in any file of the key store; `None` when they cannot be read.
fn is_there(dir: &Path, name: &str) -> Option<bool> {
    let files: Vec<_> =
        fs::read_dir(dir.join("keys")).ok()?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut found = false;
    for path in files {
        let content = fs::read(path.ok()?).ok()?;
        found |= content.windows(name.len()).any(|window| window == name.as_bytes());
    }
    Some(found)
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

/// Lifts a hold and erases everybody, trying again like whoever was told to, and says what came of it and what is left.
fn erase_everybody(dir: &Path, store: Store) {
    let (keys, sink) = (keys(dir, store), MemorySink::default());
    if keys.lift_hold(held().owner(), held().case()) == Ok(true) {
        say("lifted");
    }
    let mut erasures = erasing(dir, &keys);
    for name in PEOPLE {
        for _ in 0..TRIES {
            match erasures.erase(&subject(name), None, &by(), &sink) {
                Ok(receipt) => {
                    let key =
                        receipt.destroyed().map_or("none".to_owned(), |receipt| receipt.key().to_string());
                    say(&format!("erased {name} {key}"));
                    if is_there(dir, name) == Some(true) {
                        say(&format!("remnant {name}"));
                    }
                    break;
                }
                Err(error) => say(&format!("refused {}", error.code())),
            }
        }
    }
}

const CALLS: [&str; 7] = [
    "?fsync,?fdatasync",
    "?ftruncate",
    "?lseek",
    "?openat",
    "?rename,?renameat,?renameat2",
    "?unlink,?unlinkat",
    "?write,?pwrite64",
];

#[derive(Default)]
struct Sum {
    faults: usize,
    refused: usize,
    erased: usize,
}

/// Lays one out and runs the victim over it with a fault; whether the fault struck.
fn struck(test: &str, store: Store, call: &str, fault: &str, sum: &mut Sum) -> bool {
    let beside = tempfile::tempdir().unwrap();
    let dir = beside.path().join("erasing");
    fs::create_dir(&dir).unwrap();
    let made: BTreeMap<_, _> = {
        let keys = keys(&dir, store);
        drop(erasing(&dir, &keys));
        keys.place_hold(&held()).unwrap();
        let make = |name| {
            let owner = subject(name).key_owner(None).unwrap();
            let key = keys.create(&owner, &SystemRandom).unwrap().id();
            let approver = ActorId::new("dpo-1").unwrap();
            keys.approve(key, Approval::new(approver, SystemClock.now())).unwrap();
            (name, key)
        };
        PEOPLE.into_iter().map(make).collect()
    };
    let told = beside.path().join("strace");
    let mut command = Command::new("strace");
    command.arg("-f").arg("-o").arg(&told);
    command.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:{fault}")]);
    for path in paths(&dir, store) {
        command.arg("-P").arg(path);
    }
    command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture", "--test-threads=1"]);
    let output = command.env(VICTIM, &dir).stderr(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let case = format!("{store:?}, {call}:{fault}");
    check(&dir, store, &made, &said, &case, sum);
    let told = fs::read_to_string(told).unwrap();
    ["(INJECTED)", "killed by SIGKILL"].iter().any(|sign| told.contains(sign))
}

/// Every file there is, and those that may come to be.
fn paths(dir: &Path, store: Store) -> Vec<PathBuf> {
    let keys = dir.join("keys");
    let mut paths = vec![dir.join("erasures"), keys.clone()];
    match store {
        Store::File => {
            let files = fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().path());
            paths.extend(files.flat_map(|path| {
                ["key", "gone", "tmp", "approved", "hold"].map(|end| path.with_extension(end))
            }));
        }
        Store::Sqlite => paths.extend(["keys.db", "keys.db-wal", "keys.db-shm"].map(|name| keys.join(name))),
    }
    paths
}

/// What was said is so, and whatever was left is brought to its end by who comes after.
#[track_caller]
fn check(dir: &Path, store: Store, made: &BTreeMap<&str, KeyId>, said: &str, case: &str, sum: &mut Sum) {
    let lines = || said.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    assert!(!lines().any(|line| line[0] == "remnant"), "{case}: {said}");
    sum.refused += lines().filter(|line| line[0] == "refused").count();
    let keys = keys(dir, store);
    if lines().any(|line| line[0] == "lifted") {
        assert_eq!(keys.holds().unwrap(), [], "{case}");
    }
    let _lifted = keys.lift_hold(held().owner(), held().case()).unwrap();
    let mut erasures = erasing(dir, &keys);
    let sink = MemorySink::default();
    for line in lines() {
        let ["erased", name, key] = line[..] else { continue };
        // Not "no key" of somebody who had one, however often it had to be tried.
        assert_eq!(key, made[name].to_string(), "{case}: {said}");
        assert_eq!(keys.unwrap_key(made[name]).unwrap_err().code(), "seal.destroyed", "{case}");
        sum.erased += 1;
    }
    let _report = erasures.replay(&by(), &sink).unwrap();
    let ledger = fs::read_to_string(dir.join("erasures")).unwrap();
    assert_eq!(is_there(dir, HELD), Some(false), "{case}: {HELD} is left");
    for (name, key) in made {
        let is_destroyed = keys.unwrap_key(*key).is_err();
        assert!(
            !is_destroyed || ledger.contains(&key.to_string()),
            "{case}: destroyed, and not in the ledger"
        );
        let receipt = erasures.erase(&subject(name), None, &by(), &sink).unwrap();
        assert_eq!(receipt.destroyed().is_none(), is_destroyed, "{case}");
        assert_eq!(is_there(dir, name), Some(false), "{case}: {name} is left");
    }
    // Every destruction is on record, if not the process's then this one's.
    let ledger = fs::read_to_string(dir.join("erasures")).unwrap();
    assert!(made.values().all(|key| ledger.contains(&format!("2 {key}"))), "{case}");
}

#[track_caller]
fn sweep(test: &str, store: Store) {
    if let Some(dir) = std::env::var_os(VICTIM) {
        return erase_everybody(Path::new(&dir), store);
    }
    if !trace::can_trace() {
        return;
    }
    let mut sum = Sum::default();
    for call in CALLS {
        for fault in ["error=EIO", "error=ENOSPC", "signal=SIGKILL"] {
            // The first calls each, then ever sparser, until the run ends before the fault strikes.
            let mut when = 1;
            while struck(test, store, call, &format!("{fault}:when={when}"), &mut sum) {
                sum.faults += 1;
                when += 1 + when / 3;
            }
        }
    }
    let Sum { faults, refused, erased } = sum;
    println!(
        "{store:?}: {faults} faults, {refused} refusals, {erased} told erased, 0 of them left, 0 not brought to an end"
    );
    assert!(faults > 40 && refused > 20, "{faults} {refused}");
}

#[test]
fn no_failing_system_call_leaves_somebody_who_counts_as_erased_with_keys_in_files() {
    sweep("no_failing_system_call_leaves_somebody_who_counts_as_erased_with_keys_in_files", Store::File);
}

#[test]
fn no_failing_system_call_leaves_somebody_who_counts_as_erased_with_keys_in_sqlite() {
    sweep("no_failing_system_call_leaves_somebody_who_counts_as_erased_with_keys_in_sqlite", Store::Sqlite);
}

/// How long files of this process may get, from now on.
fn limit_files(bytes: &str) {
    let pid = std::process::id().to_string();
    let limited =
        Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")]).status();
    assert!(limited.unwrap().success());
}

/// Erases until half a line is all the ledger has room for, and goes on when there is room again.
fn erase_through_a_full_disk(dir: &Path) {
    let keys = keys(dir, Store::File);
    let (mut erasures, sink) = (erasing(dir, &keys), MemorySink::default());
    limit_files("700");
    for number in 0..20 {
        let name = subject(&format!("p-{number}"));
        let code = match erasures.erase(&name, None, &by(), &sink) {
            Ok(receipt) => format!("erased {}", receipt.destroyed().is_some()),
            Err(error) => {
                limit_files("unlimited");
                format!("refused {}", error.code())
            }
        };
        say(&code);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_line_the_disk_has_no_room_for_is_cut_and_the_next_is_whole() {
    const NAME: &str = "a_line_the_disk_has_no_room_for_is_cut_and_the_next_is_whole";
    if let Some(dir) = std::env::var_os(VICTIM) {
        return erase_through_a_full_disk(Path::new(&dir));
    }
    if Command::new("prlimit").arg("--version").output().is_err() {
        println!("skipped: prlimit is not there");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    {
        let keys = keys(dir.path(), Store::File);
        for number in 0..20 {
            let owner = subject(&format!("p-{number}")).key_owner(None).unwrap();
            drop(keys.create(&owner, &SystemRandom).unwrap());
        }
    }
    // A process that writes past the limit is told so, not killed.
    let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
        .env(VICTIM, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let count = |line: &str| said.lines().filter(|said| *said == line).count();
    assert_eq!((count("refused erasure.ledger"), count("erased true")), (1, 19), "{said}");
    let keys = keys(dir.path(), Store::File);
    let report = erasing(dir.path(), &keys).replay(&by(), &MemorySink::default()).unwrap();
    assert_eq!((report.destroyed(), report.unknown(), report.held()), (0, 0, 0));
    assert!((19..=20).contains(&report.gone()), "{report:?}");
}
