//! Numbers as people and programs write them: digits in groups with separators between, single ones, or those of telephone
//! numbers.

use super::super::text::{DIGIT, LETTER, Text, UPPER, WORD, leading_digits, offset};

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
    /// How many digits it has.
    pub(crate) size: u8,
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
    /// Eight are written at a time: what stands behind the last one means nothing.
    digits: [u8; MAX_DIGITS + 8],
    groups: [Group; MAX_GROUPS],
    /// How many groups single separators join.
    plain: usize,
    /// How many there are with the separators of telephone numbers, too.
    len: usize,
}

impl Number {
    /// A number that is to be read at `start`, where a digit stands.
    // Made and read apart: what is filled in place is not copied.
    #[inline]
    pub(crate) fn at(start: usize) -> Self {
        let digits = [0; MAX_DIGITS + 8];
        Self { start, digits, groups: [Group::default(); MAX_GROUPS], plain: 0, len: 0 }
    }

    /// Reads it.
    pub(crate) fn read(&mut self, text: Text<'_>) {
        let (mut at, mut separator) = (self.start, 0);
        let (mut count, mut before, mut len) = (0_usize, 0_usize, 0_usize);
        let mut plain = MAX_GROUPS;
        loop {
            let eight = text.eight(at);
            let digits = leading_digits(eight);
            let Some(cells) = self.digits.get_mut(count..).and_then(<[u8]>::first_chunk_mut) else { break };
            *cells = (eight & VALUES).to_le_bytes();
            count = count.wrapping_add(digits);
            at = at.wrapping_add(digits);
            if count > MAX_DIGITS {
                break;
            }
            if digits == 8 {
                continue;
            }
            let Some(group) = self.groups.get_mut(len) else { break };
            let size = count_u8(count.wrapping_sub(before));
            *group = Group { end: offset(at), digits: count_u8(count), separator, size };
            before = count;
            len = len.wrapping_add(1);
            separator = text.at(at);
            let width = gap_at(text, at);
            if width == 0 {
                break;
            }
            if width > 1 || matches!(separator, b'(' | b')') {
                plain = plain.min(len);
            }
            at = at.wrapping_add(width);
        }
        self.len = len;
        self.plain = plain.min(len);
    }

    /// As [`groups`](Self::groups), also behind brackets and signs with spaces, as telephone numbers are written.
    pub(crate) fn dialled(&self) -> &[Group] {
        self.groups.get(..self.len).unwrap_or(&[])
    }

    /// The groups joined by single separators; the last may go on beyond what is looked at.
    pub(crate) fn groups(&self) -> &[Group] {
        self.groups.get(..self.plain).unwrap_or(&[])
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
        groups.iter().map(|group| usize::from(group.size))
    }

    /// The one separator between all groups; 0 for one group, nothing for mixed ones.
    pub(crate) fn separator(groups: &[Group]) -> Option<u8> {
        let mut rest = groups.iter().skip(1).map(|group| group.separator);
        let Some(first) = rest.next() else { return Some(0) };
        rest.all(|separator| separator == first).then_some(first)
    }
}

/// The bits of a digit's value, in each of eight bytes.
const VALUES: u64 = u64::from_le_bytes([0x0f; 8]);

/// Whether a number that has digits up to `end` goes on behind a separator.
pub(crate) fn goes_on(text: Text<'_>, end: usize) -> bool {
    gap_at(text, end) != 0
}

/// How wide the separator at `at` is, if a digit follows it.
#[inline]
fn gap_at(text: Text<'_>, at: usize) -> usize {
    if !matches!(text.at(at), b' ' | b'-' | b'.' | b'/' | b'(' | b')') {
        0
    } else if text.is(at.wrapping_add(1), DIGIT) {
        1
    } else {
        wide_gap_at(text, at)
    }
}

fn wide_gap_at(text: Text<'_>, at: usize) -> usize {
    match text.eight(at).to_le_bytes() {
        [b' ' | b')' | b'-' | b'(', b'(' | b' ' | b'-' | b')', b'0'..=b'9', ..] => 2,
        [b' ', b'-' | b'/', b' ', b'0'..=b'9', ..] | [b')', b' ', b'(', b'0'..=b'9', ..] => 3,
        _ => 0,
    }
}

/// A count of digits.
#[expect(clippy::cast_possible_truncation, reason = "of no number are more than 24 digits read")]
fn count_u8(count: usize) -> u8 {
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

/// Whether at `end` every value ends that starts with a digit: neither more digits, nor a letter that belongs to them, nor an
/// extension follows.
pub(crate) fn ends_all(text: Text<'_>, end: usize) -> bool {
    end == text.len()
        || (matches!(text.at(end), b' ' | b'"' | b',' | b')' | b';' | b'&' | b'>' | b'<' | b'\'' | b'\n')
            && !goes_on(text, end)
            && !matches!(text.at(end.wrapping_add(1)), b'x' | b'X' | b'e' | b'E'))
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
