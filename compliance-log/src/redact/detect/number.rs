//! Numbers as people and programs write them: digits in groups with single separators between.

use super::super::text::{DIGIT, LETTER, Text, UPPER, WORD, offset};

/// The most digits and groups looked at from one place.
const MAX_DIGITS: usize = 24;
const MAX_GROUPS: usize = 12;

/// A group of digits.
#[derive(Clone, Copy, Default)]
pub(crate) struct Group {
    end: u32,
    digits: u8,
    /// The separator before it; 0 for the first.
    pub(crate) separator: u8,
}

impl Group {
    /// Where it ends in the text.
    pub(crate) fn end(self) -> usize {
        self.end as usize
    }

    /// How many digits of the number end here.
    pub(crate) fn digits(self) -> usize {
        usize::from(self.digits)
    }
}

/// Digits from a place on.
pub(crate) struct Number {
    pub(crate) start: usize,
    digits: [u8; MAX_DIGITS],
    groups: [Group; MAX_GROUPS],
    len: usize,
}

impl Number {
    /// A number that is to be read at `start`, where a digit stands.
    // Made and read apart: what is filled in place is not copied.
    #[inline]
    pub(crate) fn at(start: usize) -> Self {
        Self { start, digits: [0; MAX_DIGITS], groups: [Group::default(); MAX_GROUPS], len: 0 }
    }

    /// Reads it.
    pub(crate) fn read(&mut self, text: Text<'_>) {
        let (mut at, mut separator) = (self.start, 0);
        let (mut count, mut len) = (0_usize, 0_usize);
        loop {
            let byte = text.at(at);
            if let digit @ 0..=9 = byte.wrapping_sub(b'0') {
                let Some(cell) = self.digits.get_mut(count) else { break };
                *cell = digit;
                count = count.wrapping_add(1);
                at = at.wrapping_add(1);
                continue;
            }
            let Some(group) = self.groups.get_mut(len) else { break };
            *group = Group { end: offset(at), digits: count_u8(count), separator };
            len = len.wrapping_add(1);
            at = at.wrapping_add(1);
            separator = byte;
            if !matches!(separator, b' ' | b'-' | b'.' | b'/') || !text.is(at, DIGIT) {
                break;
            }
        }
        self.len = len;
    }

    /// The groups read; the last may go on beyond what is looked at.
    pub(crate) fn groups(&self) -> &[Group] {
        self.groups.get(..self.len).unwrap_or(&[])
    }

    /// The first `count` digits.
    pub(crate) fn digits(&self, count: usize) -> &[u8] {
        self.digits.get(..count).unwrap_or(&[])
    }

    /// How many digits there are in all groups.
    pub(crate) fn count(&self) -> usize {
        self.groups().last().map_or(0, |group| group.digits())
    }

    /// Where the last group ends.
    pub(crate) fn end(&self) -> usize {
        self.groups().last().map_or(self.start, |group| group.end())
    }

    /// The sizes of the first groups, as `[3, 2, 4]`.
    pub(crate) fn sizes(groups: &[Group]) -> impl Iterator<Item = usize> + '_ {
        let mut before = 0_usize;
        groups.iter().map(move |group| {
            let size = group.digits().wrapping_sub(before);
            before = group.digits();
            size
        })
    }

    /// The one separator between all groups; 0 for one group, nothing for mixed ones.
    pub(crate) fn separator(groups: &[Group]) -> Option<u8> {
        let mut rest = groups.iter().skip(1).map(|group| group.separator);
        let Some(first) = rest.next() else { return Some(0) };
        rest.all(|separator| separator == first).then_some(first)
    }
}

/// A count of digits.
#[expect(clippy::cast_possible_truncation, reason = "of no number are more than 24 digits read")]
pub(crate) fn count_u8(count: usize) -> u8 {
    count as u8
}

/// Whether a value may start at `start`: nothing that belongs to it stands before.
pub(crate) fn starts_clean(text: Text<'_>, start: usize) -> bool {
    let before = text.before(start);
    if text.is_before(start, WORD) || before == b'_' {
        return false;
    }
    if matches!(before, b'-' | b'.' | b'/' | b'+') {
        // `ORD-123`, `1.123`, `v1/123`; but `tel.123` and `=-123`.
        let further = start.wrapping_sub(1);
        return !(text.is_before(further, DIGIT) || (before != b'.' && text.is_before(further, LETTER)));
    }
    true
}

/// As [`starts_clean`], for a value that its own check confirms: letters and digits before it disqualify it, and the point
/// of a fraction. What is filed under it may stand there: `/cards/4111…`, `scan_4111…`.
pub(crate) fn starts_checked(text: Text<'_>, start: usize) -> bool {
    !text.is_before(start, WORD)
        && (text.before(start) != b'.' || !text.is_before(start.wrapping_sub(1), DIGIT))
}

/// As [`ends_clean`], for a value that its own check confirms: `4111…/12/29`, `4111…_scan.png`.
pub(crate) fn ends_checked(text: Text<'_>, end: usize) -> bool {
    !text.is(end, WORD)
}

/// As [`starts_clean`], or as a part of a path or file name: `/customers/531-84-2207`.
pub(crate) fn starts_part(text: Text<'_>, start: usize) -> bool {
    matches!(text.before(start), b'/' | b'_') || starts_clean(text, start)
}

/// As [`ends_clean`], or as a part of a path or file name.
pub(crate) fn ends_part(text: Text<'_>, end: usize) -> bool {
    matches!(text.at(end), b'/' | b'_') || ends_clean(text, end)
}

/// Whether a value may end at `end`: nothing that belongs to it follows.
pub(crate) fn ends_clean(text: Text<'_>, end: usize) -> bool {
    let after = text.at(end);
    if text.is(end, WORD) || after == b'_' {
        return false;
    }
    if matches!(after, b'-' | b'.' | b'/' | b':') {
        let next = end.wrapping_add(1);
        return !(text.is(next, DIGIT) || (after == b'-' && text.is(next, UPPER)));
    }
    true
}
