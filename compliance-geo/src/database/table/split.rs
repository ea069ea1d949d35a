//! Cutting runs into the children of a block.

use crate::database::runs::Run;

pub(super) const ROOT_LEN: usize = 1 << 16;

/// What one child of a block holds.
pub(super) enum Piece<'a, A> {
    /// Runs start inside it: the value before the first of them, and the runs.
    Mixed(u16, &'a [Run<A>]),
    /// One value, also for the children after it up to the next piece.
    Uniform(u16),
}

/// Cuts the runs of a block by child. `key` gives the child a start lies in and whether it is the child's first
/// address. The first piece is child 0's.
pub(super) fn split<A: Copy>(
    before: u16,
    runs: &[Run<A>],
    last_child: u16,
    key: impl Fn(A) -> (u16, bool),
    emit: &mut dyn FnMut(u16, Piece<'_, A>),
) {
    let mut value = before;
    // The child from which `value` holds and has not been emitted yet.
    let mut pending = Some(0_u16);
    for group in runs.chunk_by(|(a, _), (b, _)| key(*a).0 == key(*b).0) {
        let (Some((first, first_value)), Some((_, last_value))) = (group.first(), group.last()) else {
            continue;
        };
        let (child, at_start) = key(*first);
        if let Some(from) = pending.filter(|from| *from < child) {
            emit(from, Piece::Uniform(value));
        }
        if group.len() == 1 && at_start {
            emit(child, Piece::Uniform(*first_value));
            pending = None;
        } else {
            emit(child, Piece::Mixed(value, group));
            pending = (child < last_child).then(|| child.saturating_add(1));
        }
        value = *last_value;
    }
    if let Some(from) = pending {
        emit(from, Piece::Uniform(value));
    }
}

/// One entry per child of the root from the entries of those that begin a new run.
pub(super) fn spread(entries: &[(u16, u32)]) -> Vec<u32> {
    let mut root = Vec::with_capacity(ROOT_LEN);
    let ends = entries.iter().skip(1).map(|(child, _)| usize::from(*child)).chain([ROOT_LEN]);
    for ((_, entry), end) in entries.iter().zip(ends) {
        // A node holds for its own child only; what follows it has an entry of its own.
        root.resize(end, *entry);
    }
    root
}
