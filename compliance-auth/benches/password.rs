//! The password policy beside the bare `zxcvbn` crate, and pooled Argon2id beside fresh memory.

use std::hint::black_box;

use argon2::{Algorithm, Argon2, Params, Version};
use compliance_auth::password::{
    HashParameters, PasswordContext, PasswordHash, PasswordHasher, PasswordPolicy, PasswordProfile,
};
use secrecy::{ExposeSecret as _, SecretString};

fn main() {
    divan::main();
}

fn context() -> PasswordContext {
    PasswordContext::new().user("anna.muster@example.com").user("Anna Muster")
}

fn typical() -> Vec<SecretString> {
    [
        "dragon2019",
        "P@ssw0rd1!",
        "k#9vQ!m2Lx7",
        "velvet candle garden",
        "anna12.03.1991",
        "sunshine",
        "tr0ub4dor&3",
        "correct-horse-battery",
        "Zq7velour91",
        "letmein123",
        "marble-ladder-copper-forest",
        "qwerty!2024",
    ]
    .map(SecretString::from)
    .into()
}

/// Random stand-ins, which take the `zxcvbn` crate a second at 100 characters, and what is worst for us.
fn hostile() -> Vec<SecretString> {
    let mut state = 4711_u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((state >> 33) as usize) % n
    };
    ["4@8({[<3691!|170$5+7%2", "1!|7", "aeiou", "ab", "qwertasdfg", "12/.-"]
        .iter()
        .map(|alphabet| {
            let alphabet: Vec<char> = alphabet.chars().collect();
            let text: String = (0..256).map(|_| alphabet[below(alphabet.len())]).collect();
            SecretString::from(text)
        })
        .collect()
}

#[divan::bench]
fn check_typical(bencher: divan::Bencher<'_, '_>) {
    let (policy, context, passwords) =
        (PasswordPolicy::of(PasswordProfile::Nist80063b4), context(), typical());
    bencher.bench(|| {
        passwords.iter().filter(|password| policy.check(black_box(password), &context).is_ok()).count()
    });
}

#[divan::bench]
fn peer_zxcvbn_typical(bencher: divan::Bencher<'_, '_>) {
    let passwords = typical();
    let inputs = ["anna.muster@example.com", "Anna Muster"];
    bencher.bench(|| {
        passwords
            .iter()
            .map(|p| zxcvbn::zxcvbn(black_box(p.expose_secret()), &inputs).guesses_log10())
            .sum::<f64>()
    });
}

#[divan::bench(args = 0..6_usize)]
fn check_worst(bencher: divan::Bencher<'_, '_>, which: usize) {
    let (policy, context, passwords) =
        (PasswordPolicy::of(PasswordProfile::Nist80063b4), context(), hostile());
    bencher.bench(|| policy.check(black_box(&passwords[which]), &context).is_ok());
}

const PARAMETERS: [(&str, HashParameters); 2] =
    [("m19456_t2", HashParameters::M19456_T2), ("m47104_t1", HashParameters::M47104_T1)];

#[divan::bench(args = PARAMETERS.map(|(name, _)| name), sample_count = 20)]
fn verify_pooled(bencher: divan::Bencher<'_, '_>, name: &str) {
    let parameters = PARAMETERS.into_iter().find(|(known, _)| *known == name).expect("known").1;
    let hasher = PasswordHasher::builder().parameters(parameters).build();
    let tag = "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let stored = format!(
        "$argon2id$v=19$m={},t={},p=1$c29tZXNhbHRzYWx0c2FsdA${tag}",
        parameters.memory_kib(),
        parameters.passes()
    );
    let stored = PasswordHash::parse(&stored).expect("hash");
    let password = SecretString::from("zq7-velour-antelope-91");
    bencher.bench(|| hasher.verify(Some(&stored), black_box(&password)).is_ok());
}

#[divan::bench(args = PARAMETERS.map(|(name, _)| name), sample_count = 20)]
fn peer_fresh_memory(bencher: divan::Bencher<'_, '_>, name: &str) {
    let parameters = PARAMETERS.into_iter().find(|(known, _)| *known == name).expect("known").1;
    let params = Params::new(parameters.memory_kib(), parameters.passes(), 1, Some(32)).expect("parameters");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    bencher.bench(|| {
        let mut tag = [0_u8; 32];
        argon2
            .hash_password_into(black_box(b"zq7-velour-antelope-91"), b"somesaltsaltsalt", &mut tag)
            .expect("hash");
        tag
    });
}
