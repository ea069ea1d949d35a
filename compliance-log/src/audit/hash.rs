//! SHA-256 (FIPS 180-4) of one prefix byte and a body in one go.
//!
//! A trail hashes many short messages. Feeding them through an incremental hasher costs as much again in
//! buffering as in hashing; here the message is laid out with its padding and compressed at once.

use sha2::block_api::compress256;

type Block = [u8; BLOCK_LEN];

const BLOCK_LEN: usize = 64;
/// FIPS 180-4 §5.3.3.
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
/// Messages of up to so many blocks are laid out on the stack.
const SHORT_BLOCKS: usize = 8;
/// The end mark and the length that close every message (FIPS 180-4 §5.1.1).
const CLOSING_LEN: usize = 1 + 8;
const MAX_SHORT_LEN: usize = SHORT_BLOCKS * BLOCK_LEN - CLOSING_LEN - 1;

/// SHA-256 over `prefix` and `body`.
pub(super) fn prefixed(prefix: u8, body: &[u8]) -> [u8; 32] {
    let mut state = INITIAL;
    if body.len() <= MAX_SHORT_LEN {
        let mut blocks = [[0; BLOCK_LEN]; SHORT_BLOCKS];
        let used = close(&mut blocks, prefix, body, body.len());
        compress256(&mut state, blocks.get(..used).unwrap_or_default());
    } else {
        let (first, rest) = body.split_at(BLOCK_LEN - 1);
        let mut block: Block = [prefix; BLOCK_LEN];
        block.split_at_mut(1).1.copy_from_slice(first);
        compress256(&mut state, &[block]);
        let (whole, rest) = rest.as_chunks();
        compress256(&mut state, whole);
        let (&start, rest) = match rest.split_first() {
            Some((start, rest)) => (start, rest),
            // A message that ends with a whole block is closed by one that holds the closing alone.
            None => return finish(state, body.len()),
        };
        let mut blocks = [[0; BLOCK_LEN]; 2];
        let used = close(&mut blocks, start, rest, body.len());
        compress256(&mut state, blocks.get(..used).unwrap_or_default());
    }
    digest(state)
}

/// SHA-256 over a message that holds its prefix byte already.
pub(super) fn message(message: &[u8]) -> [u8; 32] {
    let mut state = INITIAL;
    let (whole, rest) = message.as_chunks();
    compress256(&mut state, whole);
    let body_len = message.len().saturating_sub(1);
    let Some((&start, rest)) = rest.split_first() else { return finish(state, body_len) };
    let mut blocks = [[0; BLOCK_LEN]; 2];
    let used = close(&mut blocks, start, rest, body_len);
    compress256(&mut state, blocks.get(..used).unwrap_or_default());
    digest(state)
}

/// SHA-256 over `prefix` and two hashes: one inner node.
pub(super) fn pair(prefix: u8, left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut blocks = NODE;
    let [first, second] = &mut blocks;
    let (start, children) = first.split_at_mut(1);
    start.copy_from_slice(&[prefix]);
    let (first_child, second_child) = children.split_at_mut(32);
    let (fits, over) = right.split_at(31);
    first_child.copy_from_slice(left);
    second_child.copy_from_slice(fits);
    second.split_at_mut(1).0.copy_from_slice(over);
    let mut state = INITIAL;
    compress256(&mut state, &blocks);
    digest(state)
}

const END_MARK: u8 = 0x80;

/// The message of an inner node before prefix and children are put in: end mark and length, 65 bytes.
const NODE: [Block; 2] = {
    let mut closing = [0; BLOCK_LEN];
    let [_, mark, .., high, low] = &mut closing;
    (*mark, *high, *low) = (END_MARK, 0x02, 0x08);
    [[0; BLOCK_LEN], closing]
};

/// Lays out the last bytes of a message and its closing; gives back how many blocks that takes.
fn close(blocks: &mut [Block], start: u8, rest: &[u8], body_len: usize) -> usize {
    // INVARIANT: the callers' blocks have room for `start`, `rest` and the closing.
    let used = rest.len().saturating_add(1).saturating_add(CLOSING_LEN).div_ceil(BLOCK_LEN);
    let bytes = blocks.as_flattened_mut();
    if let Some((first, others)) = bytes.split_first_mut() {
        *first = start;
        if let Some((body, closing)) = others.split_at_mut_checked(rest.len()) {
            body.copy_from_slice(rest);
            if let Some(mark) = closing.first_mut() {
                *mark = END_MARK;
            }
        }
    }
    let end = used.saturating_mul(BLOCK_LEN);
    if let Some(length) = bytes.get_mut(..end).and_then(|bytes| bytes.last_chunk_mut()) {
        *length = bits(body_len);
    }
    used
}

fn finish(mut state: [u32; 8], body_len: usize) -> [u8; 32] {
    let mut block: Block = [0; BLOCK_LEN];
    if let Some(mark) = block.first_mut() {
        *mark = END_MARK;
    }
    if let Some(length) = block.last_chunk_mut() {
        *length = bits(body_len);
    }
    compress256(&mut state, &[block]);
    digest(state)
}

/// The length of a prefix byte and a body, in bits.
fn bits(body_len: usize) -> [u8; 8] {
    (body_len as u64).saturating_add(1).saturating_mul(8).to_be_bytes()
}

fn digest(state: [u32; 8]) -> [u8; 32] {
    let mut digest = [0; 32];
    let (words, _) = digest.as_chunks_mut();
    words.iter_mut().zip(state).for_each(|(slot, word)| *slot = word.to_be_bytes());
    digest
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn every_length_hashes_as_the_incremental_hasher_does() {
        let bytes: Vec<u8> = (0..4096_u32).map(|n| n.wrapping_mul(0x9E37_79B9).to_be_bytes()[1]).collect();
        for len in (0..1500).chain(4000..4096) {
            let expected: [u8; 32] =
                Sha256::new_with_prefix([7]).chain_update(&bytes[..len]).finalize().into();
            assert_eq!(prefixed(7, &bytes[..len]), expected, "{len}");
            assert_eq!(message(&[&[7], &bytes[..len]].concat()), expected, "{len}");
        }
    }

    #[test]
    fn a_pair_hashes_as_its_bytes_do() {
        let (left, right) = ([0xA5; 32], [0x3C; 32]);
        assert_eq!(pair(1, &left, &right), prefixed(1, &[left, right].concat()));
    }
}
