//! The audit trail.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use compliance_core::clock::{Clock, SystemClock};
use compliance_core::event::Actor;
use compliance_core::finding::Outcome;
use compliance_core::id::{SubjectId, TenantId};
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, KeyRing};
use compliance_log::audit::checkpoint::CheckpointNote;
use compliance_log::audit::erasure::{ErasureError, ErasureErrorKind, ErasureReceipt, Erasures};
use compliance_log::audit::export::{ExportFormat, Exporter};
use compliance_log::audit::proof::RecordProof;
use compliance_log::audit::record::Circumstances;
use compliance_log::audit::segment::records;
use compliance_log::audit::{
    AuditConfig, AuditErrorKind, AuditLog, CheckpointKey, Completeness, VerifyOptions, verify,
};
use compliance_log::key_store::{FileKeyStore, HeldKeyStore, SqliteKeyStore};
use serde_json::{Value, json};

use crate::Ended;

/// `audit verify DIR [--key VKEY] [--anchor FILE]` → one JSON object. Exit 0: whole; 1: not; 2: could not tell.
pub(crate) fn verify(dir: &str, options: &[&str]) -> Option<Ended> {
    let (pairs, []) = options.as_chunks::<2>() else { return None };
    let mut given = VerifyOptions::new();
    for [flag, value] in pairs {
        given = match *flag {
            "--key" => match value.parse() {
                Ok(key) => given.key(key),
                Err(error) => return Some(failed("--key", &error)),
            },
            "--anchor" => match std::fs::read_to_string(value) {
                Ok(note) => match CheckpointNote::parse(&note) {
                    Ok(anchor) => given.anchor(anchor),
                    Err(error) => return Some(failed(value, &error)),
                },
                Err(error) => return Some(failed(value, &error)),
            },
            _ => return None,
        };
    }
    let report = match verify::verify(dir, &given) {
        Ok(report) => report,
        Err(error) => return Some(failed(dir, &error)),
    };
    let (completeness, uncovered) = match report.completeness() {
        Completeness::Closed => ("closed", 0),
        Completeness::Open { uncovered } => ("open", uncovered),
        Completeness::Torn { uncovered, .. } => ("torn", uncovered),
        Completeness::Truncated { .. } => ("truncated", 0),
    };
    let answer = json!({
        "verdict": report.verdict().to_string(),
        "records": report.records(),
        "first": report.first(),
        "recovered": report.recovered(),
        "completeness": completeness,
        "uncovered": uncovered,
        "checkpoint": report.checkpoint().map(|checkpoint| json!({
            "size": checkpoint.size(),
            "root": checkpoint.root().to_string(),
            "at": checkpoint.at().to_string(),
        })),
        "longest_gap": report.longest_gap().map(|gap| json!({
            "after": gap.after(),
            "seconds": gap.length().as_secs(),
            "promised": gap.promised().map(|promised| promised.as_secs()),
            "overdue": gap.is_overdue(),
        })),
        "first_bad_sequence": report.fault().map(|fault| fault.sequence()),
        "reason": report.fault().map(|fault| fault.kind().code()),
    });
    print_answer(&answer);
    Some(match report.outcome() {
        Outcome::Passed => Ended::Done,
        Outcome::Refused | Outcome::Review => Ended::NotInOrder,
    })
}

/// `audit export DIR --format ocsf|jsonl|csv` → one line per record. Exit 0: all of them; 1: up to the first that is not
/// what was written; 2: could not tell. A look from outside the service: use `Exporter::export` inside it, which records
/// that it exports.
pub(crate) fn export(dir: &str, format: &str) -> Option<Ended> {
    let format = ExportFormat::from_name(format)?;
    let exporter = Exporter::new("toolbox", env!("CARGO_PKG_VERSION"));
    let mut out = BufWriter::new(io::stdout().lock());
    let mut write_all = || -> Result<Ended, Box<dyn std::error::Error>> {
        if !std::fs::read_dir(dir)?
            .any(|entry| entry.is_ok_and(|entry| entry.path().extension().is_some_and(|e| e == "seg")))
        {
            return Err("there is no trail in the directory".into());
        }
        if let Some(header) = Exporter::header(format) {
            writeln!(out, "{header}")?;
        }
        for record in records(dir)? {
            match record {
                Ok(record) => writeln!(out, "{}", exporter.line(&record, format))?,
                Err(error) if matches!(error.kind(), AuditErrorKind::Integrity(_)) => {
                    out.flush()?;
                    report(&error);
                    return Ok(Ended::NotInOrder);
                }
                Err(error) => return Err(error.into()),
            }
        }
        out.flush()?;
        Ok(Ended::Done)
    };
    Some(write_all().unwrap_or_else(|error| failed(dir, &*error)))
}

/// `audit receipt DIR SEQUENCE` → a `.tlog-proof` file.
pub(crate) fn receipt(dir: &str, sequence: &str) -> Option<Ended> {
    let sequence = sequence.parse().ok()?;
    Some(match RecordProof::make(dir, sequence) {
        Ok(proof) => match write!(io::stdout(), "{proof}") {
            Ok(()) => Ended::Done,
            Err(error) => failed("stdout", &error),
        },
        Err(error) => failed(dir, &error),
    })
}

/// `audit check RECEIPT --key VKEY` → the record in it, if the receipt holds. Exit 1 when it does not.
pub(crate) fn check(receipt: &str, key: &str) -> Ended {
    let key = match key.parse() {
        Ok(key) => key,
        Err(error) => return failed("--key", &error),
    };
    let text = match std::fs::read_to_string(receipt) {
        Ok(text) => text,
        Err(error) => return failed(receipt, &error),
    };
    match RecordProof::parse(&text).and_then(|proof| proof.verify(&key)) {
        Ok(record) => {
            let record = Exporter::new("toolbox", env!("CARGO_PKG_VERSION")).json(&record);
            print_answer(&json!({ "verdict": "proven", "record": record }));
            Ended::Done
        }
        Err(error) => {
            print_answer(&json!({ "verdict": "refused", "reason": error.code() }));
            Ended::NotInOrder
        }
    }
}

/// `audit erase DIR SUBJECT …` → what was destroyed. Exit 0: erased; 1: a legal hold is on them, or they have no key
/// (`no_key`: erased before, not in this tenant, or in plain in a trail that seals nobody); 2: could not be carried out.
/// `settled` names keys of earlier erasures that had not been recorded and are now. `--keys` names the folder of a file key
/// store, or the file of one in SQLite. `--kek` and `--seed` name files of 32 bytes: the key-encryption key of the key store
/// and the seed of the trail's signing key, with which the erasure is recorded.
pub(crate) fn erase(dir: &str, subject: &str, options: &[&str]) -> Option<Ended> {
    let (pairs, []) = options.as_chunks::<2>() else { return None };
    let (mut keys, mut kek, mut seed, mut ledger, mut tenant) = (None, None, None, None, None);
    for [flag, value] in pairs {
        match *flag {
            "--keys" => keys = Some(*value),
            "--kek" => kek = Some(*value),
            "--seed" => seed = Some(*value),
            "--ledger" => ledger = Some(*value),
            "--tenant" => tenant = Some(*value),
            _ => return None,
        }
    }
    let (keys, kek, seed, ledger) = (keys?, kek?, seed?, ledger?);
    let erase = || -> Result<ErasureReceipt, Box<dyn std::error::Error>> {
        let subject = SubjectId::new(subject)?;
        let tenant = tenant.map(TenantId::new).transpose()?;
        let ring = KeyRing::new(KeyEncryptionKey::new(&secret(kek)?)?);
        let keys: Arc<dyn HeldKeyStore> = if Path::new(keys).is_file() {
            Arc::new(SqliteKeyStore::open(keys, ring)?)
        } else {
            Arc::new(FileKeyStore::open(keys, ring)?)
        };
        let origin = CheckpointNote::parse(&std::fs::read_to_string(Path::new(dir).join("checkpoint"))?)?;
        let key = CheckpointKey::from_seed(origin.origin(), secret(seed)?)?;
        // Where the trail lies was decided by the service that writes it.
        let config = AuditConfig::new(key).on_any_storage().seal_people(keys.clone(), Arc::new(SystemRandom));
        let (log, _) = AuditLog::open(dir, config, SystemClock)?;
        let mut by = Circumstances::new(Actor::System, SystemClock.now());
        if let Some(tenant) = &tenant {
            by = by.tenant(tenant.clone());
        }
        let receipt =
            Erasures::open(keys, ledger, SystemClock)?.erase(&subject, tenant.as_ref(), &by, &log)?;
        log.close()?;
        Ok(receipt)
    };
    Some(match erase() {
        Ok(receipt) => {
            let destroyed = receipt.destroyed();
            let settled: Vec<_> = receipt.settled().iter().map(|receipt| receipt.key().to_string()).collect();
            print_answer(&json!({
                "verdict": if destroyed.is_some() { "erased" } else { "no_key" },
                "key": destroyed.map(|receipt| receipt.key().to_string()),
                "pending_until": destroyed
                    .and_then(|receipt| receipt.backups_until().map(|until| until.to_string())),
                "settled": settled,
            }));
            if destroyed.is_some() { Ended::Done } else { Ended::NotInOrder }
        }
        Err(error) => match error.downcast_ref::<ErasureError>() {
            Some(held) if held.kind() == ErasureErrorKind::Held => {
                print_answer(&json!({ "verdict": "held", "reason": held.code() }));
                Ended::NotInOrder
            }
            _ => failed(dir, &*error),
        },
    })
}

#[expect(clippy::print_stderr, reason = "why a command-line program did not come to its end")]
fn report(error: &dyn std::error::Error) {
    eprintln!("toolbox: {error}");
}

fn secret(path: &str) -> Result<[u8; 32], Box<dyn std::error::Error>> {
    let bytes = std::fs::read(path)?;
    bytes.try_into().map_err(|bytes: Vec<u8>| format!("{path} has {} bytes, expected 32", bytes.len()).into())
}

#[expect(clippy::print_stdout, reason = "the answer of a command-line program")]
fn print_answer(answer: &Value) {
    println!("{answer}");
}

fn failed(what: &str, error: &dyn std::error::Error) -> Ended {
    Ended::Failed(format!("{what}: {error}"))
}
