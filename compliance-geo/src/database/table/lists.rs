//! What is finer than a node can tell apart.

use crate::database::runs::NO_RECORD;

/// Short sorted lists of starts and values, one after the other.
#[derive(Debug)]
pub(super) struct Lists<S> {
    // Where each list begins, and where the last one ends.
    offsets: Vec<u32>,
    starts: Vec<S>,
    values: Vec<u16>,
}

impl<S: Copy + Ord + Default> Lists<S> {
    pub(super) fn new() -> Self {
        Self { offsets: vec![0], starts: Vec::new(), values: Vec::new() }
    }

    /// Adds a list; `before` holds from zero up to its first start. Answers its number.
    pub(super) fn push(&mut self, before: u16, list: impl Iterator<Item = (S, u16)>) -> usize {
        let mut list = list.peekable();
        if list.peek().is_none_or(|(start, _)| *start != S::default()) {
            self.starts.push(S::default());
            self.values.push(before);
        }
        for (start, value) in list {
            self.starts.push(start);
            self.values.push(value);
        }
        self.offsets.push(u32::try_from(self.starts.len()).unwrap_or(u32::MAX));
        self.offsets.len().saturating_sub(2)
    }

    pub(super) fn bounds(&self, list: usize) -> Option<std::ops::Range<usize>> {
        let mut bounds = self.offsets.get(list..)?.iter();
        Some(*bounds.next()? as usize..*bounds.next()? as usize)
    }

    #[inline]
    pub(super) fn value(&self, list: usize, at: S) -> u16 {
        let found = self.bounds(list).and_then(|bounds| {
            let starts = self.starts.get(bounds.clone())?;
            let position = starts.partition_point(|start| *start <= at).checked_sub(1)?;
            self.values.get(bounds)?.get(position)
        });
        found.copied().unwrap_or(NO_RECORD)
    }

    pub(super) fn entries(&self, list: usize) -> impl Iterator<Item = (S, u16)> {
        let bounds = self.bounds(list).unwrap_or(0..0);
        let starts = self.starts.get(bounds.clone()).unwrap_or_default();
        starts.iter().copied().zip(self.values.get(bounds).unwrap_or_default().iter().copied())
    }

    pub(super) fn shrink(&mut self) {
        self.offsets.shrink_to_fit();
        self.starts.shrink_to_fit();
        self.values.shrink_to_fit();
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.offsets.as_slice())
            .saturating_add(size_of_val(self.starts.as_slice()))
            .saturating_add(size_of_val(self.values.as_slice()))
    }
}
