//! The same inputs in every run: splitmix64 (Steele, Lea, Flood: *Fast splittable pseudorandom number generators*,
//! OOPSLA 2014), seeded per figure.

/// A generator of inputs. Nothing here is secret.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn u32(&mut self) -> u32 {
        (self.u64() >> 32) as u32
    }

    pub(crate) fn u128(&mut self) -> u128 {
        u128::from(self.u64()) << 64 | u128::from(self.u64())
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (u128::from(self.u64()) * end as u128 >> 64) as usize
    }

    /// One of them.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> Option<&'a T> {
        from.get(self.below(from.len().max(1))).copied()
    }

    /// `len` characters out of `alphabet`, which is ASCII.
    pub(crate) fn text(&mut self, alphabet: &[u8], len: usize) -> String {
        let mut byte = || alphabet.get(self.below(alphabet.len().max(1))).copied().unwrap_or(b'x');
        (0..len).map(|_| char::from(byte())).collect()
    }
}

/// Lower-case letters and digits.
pub(crate) const ALPHANUMERIC: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
