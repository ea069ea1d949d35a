//! 256-way nodes.

/// 256 children, of which those that begin a new run have a bit and, in order, a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) bitmap: [u64; 4],
    // Bits set in the words before.
    pub(super) ranks: [u8; 4],
    pub(super) base: u32,
}

impl Node {
    pub(super) fn at(base: usize) -> Self {
        Self { bitmap: [0; 4], ranks: [0; 4], base: u32::try_from(base).unwrap_or(u32::MAX) }
    }

    /// Children are marked in ascending order.
    pub(super) fn mark(&mut self, child: u16) {
        let word = usize::from(child >> 6);
        if let Some(bits) = self.bitmap.get_mut(word) {
            *bits |= 1 << (child & 63);
        }
        for rank in self.ranks.iter_mut().skip(word.saturating_add(1)) {
            *rank = rank.saturating_add(1);
        }
    }

    #[inline]
    pub(super) fn slot(&self, child: u8) -> usize {
        let word = usize::from(child >> 6);
        let (Some(bits), Some(rank)) = (self.bitmap.get(word), self.ranks.get(word)) else {
            return usize::MAX;
        };
        (self.base as usize).wrapping_add(slot(*bits, *rank, child))
    }

    pub(super) fn children(&self) -> impl Iterator<Item = (u8, usize)> {
        let marked = [0_u8, 64, 128, 192].into_iter().zip(self.bitmap).flat_map(|(first, word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = u8::try_from(rest.trailing_zeros()).ok().filter(|bit| *bit < 64)?;
                rest &= rest.wrapping_sub(1);
                Some(first | bit)
            })
        });
        marked.zip(self.base as usize..)
    }
}

/// The slot of a child among its node's: `bits` is the word of the bitmap it is in, `rank` how many are set before.
#[inline]
pub(super) fn slot(bits: u64, rank: u8, child: u8) -> usize {
    let up_to_child = u64::MAX >> (63 ^ (child & 63));
    // INVARIANT: child 0 is always marked, so at least one bit is set up to any child.
    usize::from(rank).wrapping_add((bits & up_to_child).count_ones() as usize).wrapping_sub(1)
}
