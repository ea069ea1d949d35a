//! Chance.

use compliance_core::random::{SecureRandom, SystemRandom};
use compliance_core::testing::DeterministicRandom;

#[test]
fn the_system_source_fills_everything() {
    let mut bytes = [0_u8; 4096];
    SystemRandom.fill(&mut bytes).unwrap();
    // 64 bytes in a row of zeros: probability 2^-512.
    assert!(bytes.chunks(64).all(|chunk| chunk.iter().any(|byte| *byte != 0)));
}

#[test]
fn the_deterministic_source_repeats_itself_by_seed() {
    let draw = |seed| {
        let mut bytes = [0_u8; 100];
        DeterministicRandom::new(seed).fill(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let random = DeterministicRandom::new(1);
    let (mut first, mut second) = ([0; 32], [0; 32]);
    random.fill(&mut first).unwrap();
    random.fill(&mut second).unwrap();
    assert_ne!(first, second);
}
