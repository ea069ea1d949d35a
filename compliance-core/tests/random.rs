//! Chance.

use std::collections::HashSet;
use std::thread;

use compliance_core::random::{BufferedRandom, SecureRandom, SystemRandom};
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

/// Every draw of every thread is another: nothing in the buffer is given out twice, over many of its lengths and at every
/// offset of its end.
#[test]
fn the_buffered_source_gives_no_byte_twice() {
    const DRAWS: usize = 4000;
    let random = BufferedRandom::new();
    let draw = |len: usize| {
        let draws = (0..DRAWS).map(|_| {
            let mut bytes = [0; BufferedRandom::MAX_BUFFERED_LEN];
            random.fill(&mut bytes[..len]).unwrap();
            bytes
        });
        draws.collect::<Vec<_>>()
    };
    let drawn: Vec<_> = thread::scope(|scope| {
        let lengths = [11, 12, 13, 16];
        let threads = lengths.map(|len| scope.spawn(move || draw(len)));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    // By the first eleven bytes: two that meet among 16 000 have probability 2^-61.
    let distinct: HashSet<_> = drawn.iter().map(|bytes| &bytes[..11]).collect();
    assert_eq!(distinct.len(), drawn.len());
    let zeros = drawn.iter().filter(|bytes| bytes[..8] == [0; 8]).count();
    assert_eq!(zeros, 0, "bytes that were wiped were given out");
}

#[test]
fn the_buffered_source_fills_whatever_length_it_is_asked_for() {
    let random = BufferedRandom::default();
    for len in (0..=64).chain([BufferedRandom::BUFFER_LEN, 4096]) {
        let mut bytes = vec![0; len];
        // A byte that stays zero 64 times was not filled: probability 2^-512.
        let mut seen = vec![0_u8; len];
        for _ in 0..64 {
            random.fill(&mut bytes).unwrap();
            seen.iter_mut().zip(&bytes).for_each(|(seen, byte)| *seen |= byte);
        }
        assert!(seen.iter().all(|byte| *byte != 0), "{len}");
    }
}
