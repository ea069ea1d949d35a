//! Where the changes of several rounds stand in the original.

use super::Span;
use super::detect::Hit;
use super::detector::Detector;

/// A change: a range of the original, and where its replacement stands now.
#[derive(Clone, Copy)]
struct Edit {
    start: usize,
    end: usize,
    now: usize,
    now_end: usize,
    detector: Detector,
}

/// All changes so far, in order and without overlaps.
#[derive(Default)]
pub(crate) struct Edits(Vec<Edit>);

impl Edits {
    /// Adds one round: merged hits in the text as it stands now, and the lengths of their replacements.
    pub(crate) fn note(&mut self, hits: &[Hit], lengths: &[usize]) {
        let mut next = Vec::with_capacity(self.0.len().saturating_add(hits.len()));
        let mut earlier = self.0.iter().copied().peekable();
        // How far what stands here is behind its place in the original, and how far it moves in this round.
        let (mut behind, mut moved) = (0_isize, 0_isize);
        let shift = |edit: Edit, moved: isize| Edit {
            now: edit.now.saturating_add_signed(moved),
            now_end: edit.now_end.saturating_add_signed(moved),
            ..edit
        };
        for (hit, length) in hits.iter().zip(lengths) {
            while let Some(edit) = earlier.next_if(|edit| edit.now_end <= hit.start) {
                behind = distance(edit.end, edit.now_end);
                next.push(shift(edit, moved));
            }
            let mut start = hit.start.saturating_add_signed(behind);
            let mut end = None;
            // An earlier replacement that the hit touches becomes part of it.
            while let Some(edit) = earlier.next_if(|edit| edit.now < hit.end) {
                start = start.min(edit.start);
                behind = distance(edit.end, edit.now_end);
                end = (hit.end < edit.now_end).then_some(edit.end);
            }
            let end = end.unwrap_or_else(|| hit.end.saturating_add_signed(behind));
            let now = hit.start.saturating_add_signed(moved);
            next.push(Edit { start, end, now, now_end: now.saturating_add(*length), detector: hit.detector });
            moved = moved.saturating_add(distance(*length, hit.end.saturating_sub(hit.start)));
        }
        next.extend(earlier.map(|edit| shift(edit, moved)));
        self.0 = next;
    }

    /// The changed ranges of the original.
    pub(crate) fn spans(&self) -> impl Iterator<Item = Span> + '_ {
        self.0.iter().map(|edit| Span { start: edit.start, end: edit.end, detector: edit.detector })
    }
}

/// `left - right`.
fn distance(left: usize, right: usize) -> isize {
    let signed = |value: usize| isize::try_from(value).unwrap_or(isize::MAX);
    signed(left).saturating_sub(signed(right))
}
