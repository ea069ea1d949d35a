//! The Merkle tree over the records: RFC 6962 §2.1, RFC 9162 §2.1.
//!
//! A trail keeps only the tree's right edge ([`CompactTree`], at most 64 hashes); whole subtrees are hashed
//! again from the segments when a proof is asked for. Leaves and inner nodes are hashed under different
//! prefixes, so that no node passes for a leaf.

use std::fmt;

use sha2::{Digest, Sha256};

use super::hash;

/// A hash in the tree: SHA-256 (FIPS 180-4) of a leaf or of two nodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeHash([u8; TreeHash::LEN]);

impl TreeHash {
    /// Length in bytes.
    pub const LEN: usize = 32;

    pub(super) const LEAF_PREFIX: u8 = 0x00;

    /// The hash of a leaf: SHA-256 over `0x00` and the leaf's bytes (RFC 6962 §2.1).
    #[must_use]
    pub fn leaf(bytes: &[u8]) -> Self {
        Self(hash::prefixed(Self::LEAF_PREFIX, bytes))
    }

    /// The hash of an inner node: SHA-256 over `0x01` and its children (RFC 6962 §2.1).
    #[must_use]
    pub fn node(left: &Self, right: &Self) -> Self {
        Self(hash::pair(0x01, &left.0, &right.0))
    }

    /// The root of the tree without leaves: SHA-256 of nothing.
    #[must_use]
    pub fn empty_root() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// A hash as it was stored or sent.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreeHash({self})")
    }
}

/// The right edge of a growing tree: enough to append leaves and to name the root.
///
/// ```
/// use compliance_log::audit::tree::{CompactTree, TreeHash};
///
/// let mut tree = CompactTree::new();
/// assert_eq!(tree.root(), TreeHash::empty_root());
/// let (a, b) = (TreeHash::leaf(b"a"), TreeHash::leaf(b"b"));
/// tree.push(a);
/// tree.push(b);
/// assert_eq!(tree.root(), TreeHash::node(&a, &b));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactTree {
    size: u64,
    // INVARIANT: one root per set bit of `size`, of the perfect subtrees from left to right.
    peaks: Vec<TreeHash>,
}

impl CompactTree {
    /// A tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree of `size` leaves with the roots of its perfect subtrees from left to right, as
    /// [`peaks`](Self::peaks) gave them. `None` when their number does not fit the size.
    #[must_use]
    pub fn from_peaks(size: u64, peaks: Vec<TreeHash>) -> Option<Self> {
        let expected = usize::try_from(size.count_ones()).ok()?;
        (peaks.len() == expected).then_some(Self { size, peaks })
    }

    /// Appends a leaf. Two hashes per leaf on average, at most 64.
    pub fn push(&mut self, leaf: TreeHash) {
        let mut node = leaf;
        let mut rest = self.size;
        while rest & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                node = TreeHash::node(&left, &node);
            }
            rest >>= 1;
        }
        self.peaks.push(node);
        self.size = self.size.saturating_add(1);
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root (RFC 6962 §2.1, the Merkle Tree Hash).
    #[must_use]
    pub fn root(&self) -> TreeHash {
        let mut peaks = self.peaks.iter().rev();
        let Some(&last) = peaks.next() else { return TreeHash::empty_root() };
        peaks.fold(last, |right, left| TreeHash::node(left, &right))
    }

    /// The roots of the perfect subtrees, from left to right.
    #[must_use]
    pub fn peaks(&self) -> &[TreeHash] {
        &self.peaks
    }

    /// The tree of its leaves from `low` on and before `high`; `None` when one of its subtrees lies across.
    fn part(&self, low: u64, high: u64) -> Option<Self> {
        let (mut start, mut peaks) = (0_u64, Vec::new());
        let lengths = (0..u64::BITS).rev().map(|bit| self.size & (1_u64 << bit)).filter(|length| *length > 0);
        for (length, peak) in lengths.zip(&self.peaks) {
            if (low..high).contains(&start) {
                peaks.push(*peak);
            }
            start = start.saturating_add(length);
        }
        Self::from_peaks(self.size.min(high).saturating_sub(low), peaks)
    }
}

/// A proof did not prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("proof refused: {0}")]
pub struct ProofError(ProofErrorKind);

/// Why a proof was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofErrorKind {
    /// The leaf or the smaller tree is not within the tree.
    #[error("position {position} is outside a tree of {size} leaves")]
    Position {
        /// Leaf index, or size of the smaller tree.
        position: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// It leads to another root.
    #[error("it leads to another root")]
    Root,
    /// It has too few or too many hashes.
    #[error("it has {found} hashes, which is not the number the tree's shape asks for")]
    Shape {
        /// Hashes found.
        found: usize,
    },
}

impl ProofError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> ProofErrorKind {
        self.0
    }

    /// `proof.position`, `proof.root` or `proof.shape`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            ProofErrorKind::Position { .. } => "proof.position",
            ProofErrorKind::Root => "proof.root",
            ProofErrorKind::Shape { .. } => "proof.shape",
        }
    }
}

/// That a leaf is in a tree (RFC 9162 §2.1.3).
///
/// ```
/// use compliance_log::audit::tree::{CompactTree, InclusionProof, TreeHash};
///
/// let leaves: Vec<_> = (0..5_u8).map(|n| TreeHash::leaf(&[n])).collect();
/// let mut tree = CompactTree::new();
/// leaves.iter().for_each(|leaf| tree.push(*leaf));
///
/// let proof = InclusionProof::prove(leaves.iter().copied(), 3, 5).expect("leaf 3 of 5 exists");
/// assert!(proof.verify(&leaves[3], &tree.root()).is_ok());
/// assert_eq!(proof.verify(&leaves[2], &tree.root()).unwrap_err().code(), "proof.root");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    index: u64,
    size: u64,
    path: Vec<TreeHash>,
}

impl InclusionProof {
    /// A proof as it was sent; nothing is known about it until [`verify`](Self::verify).
    #[must_use]
    pub fn from_parts(index: u64, size: u64, path: Vec<TreeHash>) -> Self {
        Self { index, size, path }
    }

    /// Proves leaf `index` of the first `size` of `leaves`, reading them once. Memory grows with the
    /// logarithm of the size. `None` when `index` is not below `size` or there are fewer leaves.
    pub fn prove(leaves: impl IntoIterator<Item = TreeHash>, index: u64, size: u64) -> Option<Self> {
        Self::prove_after(&CompactTree::new(), leaves, index, size)
    }

    /// The same where the first leaves are gone and only their tree is left: `leaves` are those that follow it. `None`
    /// for a leaf that is gone, too.
    ///
    /// ```
    /// use compliance_log::audit::tree::{CompactTree, InclusionProof, TreeHash};
    ///
    /// let leaves: Vec<_> = (0..5_u8).map(|n| TreeHash::leaf(&[n])).collect();
    /// let mut before = CompactTree::new();
    /// leaves[..3].iter().for_each(|leaf| before.push(*leaf));
    ///
    /// let rest = || leaves[3..].iter().copied();
    /// let proof = InclusionProof::prove_after(&before, rest(), 4, 5);
    /// assert_eq!(proof, InclusionProof::prove(leaves.iter().copied(), 4, 5));
    /// assert_eq!(InclusionProof::prove_after(&before, rest(), 2, 5), None);
    /// ```
    pub fn prove_after(
        before: &CompactTree,
        leaves: impl IntoIterator<Item = TreeHash>,
        index: u64,
        size: u64,
    ) -> Option<Self> {
        if index >= size || index < before.size() {
            return None;
        }
        let mut ranges = Vec::new();
        let (mut low, mut high) = (0_u64, size);
        while high.saturating_sub(low) > 1 {
            let middle = low.saturating_add(split(high.saturating_sub(low)));
            if index < middle {
                ranges.push((middle, high));
                high = middle;
            } else {
                ranges.push((low, middle));
                low = middle;
            }
        }
        ranges.reverse();
        Some(Self { index, size, path: roots(before, leaves, &ranges, size)? })
    }

    /// The leaf's index, which is the record's sequence number.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Leaves of the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes, from the leaf upwards.
    #[must_use]
    pub fn path(&self) -> &[TreeHash] {
        &self.path
    }

    /// Checks that `leaf` is at this index in the tree with this root (RFC 9162 §2.1.3.2).
    ///
    /// # Errors
    /// [`ProofError`] when the index is outside the tree, the path does not have the shape the tree asks
    /// for, or leads to another root.
    pub fn verify(&self, leaf: &TreeHash, root: &TreeHash) -> Result<(), ProofError> {
        if self.index >= self.size {
            let kind = ProofErrorKind::Position { position: self.index, size: self.size };
            return Err(ProofError(kind));
        }
        let shape = ProofError(ProofErrorKind::Shape { found: self.path.len() });
        let (mut at, mut last) = (self.index, self.size.saturating_sub(1));
        let mut node = *leaf;
        for sibling in &self.path {
            if last == 0 {
                return Err(shape);
            }
            if at & 1 == 1 || at == last {
                node = TreeHash::node(sibling, &node);
                while at & 1 == 0 && at != 0 {
                    at >>= 1;
                    last >>= 1;
                }
            } else {
                node = TreeHash::node(&node, sibling);
            }
            at >>= 1;
            last >>= 1;
        }
        if last != 0 {
            return Err(shape);
        }
        if node == *root { Ok(()) } else { Err(ProofError(ProofErrorKind::Root)) }
    }
}

/// That a tree is an earlier state of another: nothing before was changed, only appended (RFC 9162 §2.1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    old_size: u64,
    new_size: u64,
    path: Vec<TreeHash>,
}

impl ConsistencyProof {
    /// A proof as it was sent; nothing is known about it until [`verify`](Self::verify).
    #[must_use]
    pub fn from_parts(old_size: u64, new_size: u64, path: Vec<TreeHash>) -> Self {
        Self { old_size, new_size, path }
    }

    /// Proves that the tree of the first `old_size` leaves grew into that of the first `new_size`, reading
    /// them once. `None` when `old_size` is larger or there are fewer leaves.
    pub fn prove(leaves: impl IntoIterator<Item = TreeHash>, old_size: u64, new_size: u64) -> Option<Self> {
        if old_size > new_size {
            return None;
        }
        let mut ranges = Vec::new();
        let (mut low, mut high, mut whole) = (0_u64, new_size, true);
        if old_size > 0 {
            while old_size < high {
                let middle = low.saturating_add(split(high.saturating_sub(low)));
                if old_size <= middle {
                    ranges.push((middle, high));
                    high = middle;
                } else {
                    ranges.push((low, middle));
                    low = middle;
                    whole = false;
                }
            }
            if !whole {
                ranges.push((low, high));
            }
        }
        ranges.reverse();
        Some(Self { old_size, new_size, path: roots(&CompactTree::new(), leaves, &ranges, new_size)? })
    }

    /// Leaves of the earlier tree.
    #[must_use]
    pub fn old_size(&self) -> u64 {
        self.old_size
    }

    /// Leaves of the later tree.
    #[must_use]
    pub fn new_size(&self) -> u64 {
        self.new_size
    }

    /// The hashes, in the order of RFC 9162 §2.1.4.1.
    #[must_use]
    pub fn path(&self) -> &[TreeHash] {
        &self.path
    }

    /// Checks that the tree with `old_root` is an earlier state of the one with `new_root`
    /// (RFC 9162 §2.1.4.2). Every tree is consistent with the empty one.
    ///
    /// # Errors
    /// [`ProofError`] when the sizes are in the wrong order, the path does not have the shape they ask for,
    /// or leads to another root.
    pub fn verify(&self, old_root: &TreeHash, new_root: &TreeHash) -> Result<(), ProofError> {
        let err = |kind| Err(ProofError(kind));
        let shape = ProofErrorKind::Shape { found: self.path.len() };
        if self.old_size > self.new_size {
            return err(ProofErrorKind::Position { position: self.old_size, size: self.new_size });
        }
        if self.old_size == 0 || self.old_size == self.new_size {
            if !self.path.is_empty() {
                return err(shape);
            }
            let expected = if self.old_size == 0 { TreeHash::empty_root() } else { *new_root };
            return if *old_root == expected { Ok(()) } else { err(ProofErrorKind::Root) };
        }
        // A perfect old tree is a node of the new one; the proof leaves it out.
        let perfect = self.old_size.is_power_of_two().then_some(old_root);
        let mut path = perfect.into_iter().chain(&self.path);
        let Some(&first) = path.next() else { return err(shape) };
        let (mut at, mut last) = (self.old_size.saturating_sub(1), self.new_size.saturating_sub(1));
        while at & 1 == 1 {
            at >>= 1;
            last >>= 1;
        }
        let (mut old, mut new) = (first, first);
        for node in path {
            if last == 0 {
                return err(shape);
            }
            if at & 1 == 1 || at == last {
                old = TreeHash::node(node, &old);
                new = TreeHash::node(node, &new);
                while at & 1 == 0 && at != 0 {
                    at >>= 1;
                    last >>= 1;
                }
            } else {
                new = TreeHash::node(&new, node);
            }
            at >>= 1;
            last >>= 1;
        }
        if last != 0 {
            return err(shape);
        }
        if old == *old_root && new == *new_root { Ok(()) } else { err(ProofErrorKind::Root) }
    }
}

/// The largest power of two smaller than `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1_u64 << size.saturating_sub(1).max(1).ilog2()
}

/// The roots of disjoint ranges of the first `size` leaves, in the order of `ranges`, given the leaves behind `before`.
/// The ranges are those of a way to a leaf behind it, or `before` has none: then each of its subtrees lies within one range
/// or outside all.
fn roots(
    before: &CompactTree,
    leaves: impl IntoIterator<Item = TreeHash>,
    ranges: &[(u64, u64)],
    size: u64,
) -> Option<Vec<TreeHash>> {
    let begun = ranges.iter().map(|&(low, high)| Some((low, high, before.part(low, high)?)));
    let mut trees = begun.collect::<Option<Vec<_>>>()?;
    let mut seen = before.size();
    for (index, leaf) in (before.size()..size).zip(leaves) {
        if let Some((_, _, tree)) = trees.iter_mut().find(|(low, high, _)| (*low..*high).contains(&index)) {
            tree.push(leaf);
        }
        seen = index.saturating_add(1);
    }
    (seen == size).then(|| trees.iter().map(|(_, _, tree)| tree.root()).collect())
}
