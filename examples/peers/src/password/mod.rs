//! Passwords: what a check costs, usually and at worst, and what a hash costs.

mod inputs;

use std::hint::black_box;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use compliance_auth::password::{
    HashParameters, PasswordContext, PasswordHash, PasswordHasher, PasswordPolicy, PasswordProfile, blocklist,
};
use compliance_core::random::SystemRandom;
use secrecy::{ExposeSecret as _, SecretString};

use crate::bench::Bench;
use crate::measure::{Effort, Failure, Measured, cpu_time, side_by_side};

/// What is known of the user, given to both sides.
const USER: [&str; 2] = ["anna.muster@example.com", "Anna Muster"];

pub(crate) fn figures(bench: &mut Bench) -> Result<(), Failure> {
    let effort = bench.effort;
    bench.figure("password.check_typical", "ns", Ok(check_typical(effort)));
    bench.figure("password.check_worst", "ms", Ok(check_worst(effort)));
    bench.figure("password.hash_m19456_t2", "ms", hash(effort, HashParameters::M19456_T2));
    bench.figure("password.hash_m47104_t1", "ms", hash(effort, HashParameters::M47104_T1));
    bench.figure("password.resident_blocklists", "MiB", resident_blocklists());
    Ok(())
}

/// The compiled-in lists, as they lie in memory.
fn resident_blocklists() -> Result<Measured, Failure> {
    let kib = u32::try_from(blocklist::RESIDENT_LEN.div_ceil(1024))?;
    Ok(Measured::alone(f64::from(kib) / 1024.0))
}

/// Mean over 2,000 passwords of five kinds. Ours: the whole policy of NIST SP 800-63B-4, from reading what is known of
/// the user to the verdict: normalisation, length, blocklists, context, strength. The peer: `zxcvbn`'s estimate alone.
fn check_typical(effort: Effort) -> Measured {
    let passwords = inputs::typical();
    let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4);
    let check = |password: &&SecretString| black_box(policy.check(password, &context())).is_ok();
    let estimate = |password: &SecretString| zxcvbn::zxcvbn(password.expose_secret(), &USER).guesses_log10();
    // A pass over all takes longer than a batch.
    side_by_side(
        effort.fewer(),
        passwords.len(),
        || passwords.iter().filter(check).count(),
        || passwords.iter().map(estimate).sum::<f64>(),
    )
}

/// The most CPU time that one of 1,000 hostile passwords takes. A password counts with the fastest of three runs, so
/// that it is the password that is slow and not the machine.
///
/// The peer takes up to a second for one password and three minutes for all. In a hurry it gets those out of which its
/// worst ones come and no others, once each: its worst can only turn out smaller.
fn check_worst(effort: Effort) -> Measured {
    let passwords = inputs::hostile();
    let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4);
    let check = |password: &SecretString| cpu_time(|| policy.check(password, &context())).1;
    let estimate = |password: &SecretString| cpu_time(|| zxcvbn::zxcvbn(password.expose_secret(), &USER)).1;
    let peer_share = if effort.quick { inputs::STAND_INS } else { passwords.len() };
    let (mut ours, mut peer) = (Duration::ZERO, Duration::ZERO);
    for (number, password) in passwords.iter().enumerate() {
        ours = ours.max((0..3).map(|_| check(password)).min().unwrap_or_default());
        if number < peer_share {
            peer = peer.max(estimate(password));
        }
    }
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    Measured { ours: milliseconds(ours), peer: Some(milliseconds(peer)) }
}

/// Argon2id, one lane. Ours: from an accepted password to the text to store, with a fresh salt, in memory that is
/// used again. The peer: RustCrypto's `argon2`, the same implementation below ours, with fresh memory for each hash,
/// a given salt, and no text made.
fn hash(effort: Effort, parameters: HashParameters) -> Result<Measured, Failure> {
    let password = SecretString::from("zq7-velour-antelope-91");
    let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4);
    let accepted = policy.check(&password, &context())?;
    let hasher = PasswordHasher::builder().parameters(parameters).build();
    let stored = hasher.hash(&accepted, &SystemRandom)?;
    if hasher.verify(Some(&stored), &password).is_err() {
        return Err("a hash just made does not verify".into());
    }
    let params = Params::new(parameters.memory_kib(), parameters.passes(), 1, Some(PasswordHash::TAG_LEN))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let fresh = || {
        let mut tag = [0; PasswordHash::TAG_LEN];
        let password = black_box(password.expose_secret()).as_bytes();
        argon2.hash_password_into(password, b"sixteen bytes of", &mut tag).map(|()| tag)
    };
    let pooled = || hasher.hash(black_box(&accepted), &SystemRandom);
    Ok(side_by_side(effort, 1, pooled, fresh).scaled(1e-6))
}

fn context() -> PasswordContext {
    USER.into_iter().fold(PasswordContext::new(), PasswordContext::user)
}
