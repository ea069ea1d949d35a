//! SHA-256 (FIPS 180-4) and HKDF-Expand (RFC 5869 §2.3) for messages of a few blocks.
//!
//! What a sealed value needs hashed is two blocks long at a time. Feeding that through an incremental hasher, and wiping
//! the hasher byte by byte after each, costs more than the hashing: here a message is laid out with its padding and
//! compressed at once, and what is wiped is wiped as a whole.

use sha2::block_api::compress256;

type Block = [u8; BLOCK_LEN];
type State = [u32; 8];

const BLOCK_LEN: usize = 64;
/// FIPS 180-4 §5.3.3.
const INITIAL: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
/// How many blocks are laid out before they are compressed.
const BLOCKS: usize = 4;
const ROOM: usize = BLOCKS * BLOCK_LEN;
/// What closes a message: an end mark, and its length in bits (FIPS 180-4 §5.1.1).
const CLOSING_LEN: usize = 1 + 8;

/// 256 bits that are wiped when dropped.
pub(super) struct Secret([u8; 32]);

impl Secret {
    pub(super) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0 = [0; 32];
        // The writes are not to be left out, and need not be made byte by byte.
        zeroize::optimization_barrier(&self.0);
    }
}

/// A message on its way through the compression function. Wiped when dropped: on the keyed side its state is as secret
/// as the key, and its end is the derived key.
pub(super) struct Message {
    state: State,
    blocks: [Block; BLOCKS],
    /// Bytes in `blocks`.
    filled: usize,
    /// Bytes compressed before.
    compressed: u64,
}

impl Message {
    pub(super) const fn new() -> Self {
        Self::after(INITIAL, 0)
    }

    const fn after(state: State, compressed: u64) -> Self {
        Self { state, blocks: [[0; BLOCK_LEN]; BLOCKS], filled: 0, compressed }
    }

    #[inline]
    pub(super) fn put(&mut self, mut part: &[u8]) {
        loop {
            let free = self.blocks.as_flattened_mut().get_mut(self.filled..).unwrap_or_default();
            if let Some(place) = free.get_mut(..part.len()) {
                place.copy_from_slice(part);
                self.filled = self.filled.saturating_add(part.len());
                return;
            }
            let (fits, rest) = part.split_at(free.len());
            free.copy_from_slice(fits);
            compress256(&mut self.state, &self.blocks);
            self.compressed = self.compressed.saturating_add(ROOM as u64);
            self.blocks = [[0; BLOCK_LEN]; BLOCKS];
            self.filled = 0;
            part = rest;
        }
    }

    /// Ends the message. By reference, so that no copy of it is left behind.
    pub(super) fn digest(&mut self) -> [u8; 32] {
        let bits = self.compressed.saturating_add(self.filled as u64).saturating_mul(8);
        self.put(&[0x80]);
        if self.filled > ROOM - (CLOSING_LEN - 1) {
            // The length no longer fits behind the mark.
            compress256(&mut self.state, &self.blocks);
            self.blocks = [[0; BLOCK_LEN]; BLOCKS];
            self.filled = 0;
        }
        let used = self.filled.saturating_add(CLOSING_LEN - 1).div_ceil(BLOCK_LEN);
        let blocks = self.blocks.get_mut(..used).unwrap_or_default();
        if let Some(length) = blocks.as_flattened_mut().last_chunk_mut() {
            *length = bits.to_be_bytes();
        }
        compress256(&mut self.state, blocks);
        bytes(self.state)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        (self.state, self.blocks) = ([0; 8], [[0; BLOCK_LEN]; BLOCKS]);
        zeroize::optimization_barrier(self);
    }
}

/// HMAC-SHA256 (RFC 2104, FIPS 198-1), keyed: what the compression function says after the padded key, on the inner and
/// on the outer side. As secret as the key.
pub(super) struct Keyed {
    inner: State,
    outer: State,
}

impl Keyed {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let after = |pad: u8| {
            let mut block = [pad; BLOCK_LEN];
            block.iter_mut().zip(key).for_each(|(padded, byte)| *padded ^= byte);
            let mut state = INITIAL;
            compress256(&mut state, &[block]);
            block = [0; BLOCK_LEN];
            zeroize::optimization_barrier(&block);
            state
        };
        Self { inner: after(0x36), outer: after(0x5c) }
    }

    /// HKDF-Expand with `L` = 32 and as its info `label` ‖ `nonce` ‖ `context`. Arrays, so that the lengths are known
    /// where this is compiled, and no two lists of one label concatenate to the same bytes.
    #[inline]
    pub(super) fn expand<const N: usize>(
        &self,
        label: &[u8; N],
        nonce: &[u8; 12],
        context: &[u8; 32],
    ) -> Secret {
        let mut message = Message::after(self.inner, BLOCK_LEN as u64);
        message.put(label);
        message.put(nonce);
        message.put(context);
        message.put(&[1]);
        let inner = Secret(message.digest());
        let mut message = Message::after(self.outer, BLOCK_LEN as u64);
        message.put(&inner.0);
        Secret(message.digest())
    }
}

impl Drop for Keyed {
    fn drop(&mut self) {
        (self.inner, self.outer) = ([0; 8], [0; 8]);
        zeroize::optimization_barrier(self);
    }
}

fn bytes(state: State) -> [u8; 32] {
    let mut bytes = [0; 32];
    let (words, _) = bytes.as_chunks_mut();
    words.iter_mut().zip(state).for_each(|(slot, word)| *slot = word.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use hkdf::Hkdf;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn every_length_in_every_cut_hashes_as_the_incremental_hasher_does() {
        let bytes: Vec<u8> = (0..1200_u32).map(|n| n.wrapping_mul(0x9E37_79B9).to_be_bytes()[1]).collect();
        for len in 0..bytes.len() {
            let expected: [u8; 32] = Sha256::digest(&bytes[..len]).into();
            for cut in [0, len / 3, len / 2, len] {
                let mut message = Message::new();
                message.put(&bytes[..cut]);
                message.put(&bytes[cut..len]);
                assert_eq!(message.digest(), expected, "{len}, cut at {cut}");
            }
        }
    }

    #[test]
    fn an_independent_hkdf_agrees_whatever_the_length_of_the_label() {
        #[track_caller]
        fn check<const N: usize>() {
            let key: [u8; 32] = Sha256::digest([N.to_le_bytes()[0]]).into();
            let (label, nonce, context) = ([0xA5; N], [N.to_le_bytes()[0]; 12], [0x3C; 32]);
            let mut expected = [0; 32];
            let info = [&label[..], &nonce, &context].concat();
            Hkdf::<Sha256>::from_prk(&key).unwrap().expand(&info, &mut expected).unwrap();
            assert_eq!(*Keyed::new(&key).expand(&label, &nonce, &context).as_bytes(), expected, "{N}");
        }
        check::<0>();
        check::<9>();
        check::<10>();
        check::<11>();
        check::<26>();
        check::<74>();
        check::<202>();
        check::<600>();
    }
}
