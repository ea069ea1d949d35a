//! The timestamp most log lines start with: proven to be one, and to be nobody's.

use super::text::{DIGIT, Text};

/// Where the timestamp ends that the text starts with, 0 where it starts with none: a date and a time of RFC 3339 section
/// 5.6 in UTC, up to nine digits of fraction, and a space behind it.
// Few lines have another form; most never come here.
#[inline(never)]
pub(crate) fn timestamp_end(text: Text<'_>) -> usize {
    let bytes = text.bytes();
    let [Some(date), Some(day), Some(seconds)] =
        [0, 8, 12].map(|at| bytes.get(at..).and_then(<[u8]>::first_chunk::<8>).copied())
    else {
        return 0;
    };
    let mut day = day;
    if let Some(between) = day.get_mut(2)
        && *between == b' '
    {
        *between = b'T';
    }
    if !is_shaped(date, *b"0000-00-") || !is_shaped(day, *b"00T00:00") || !is_shaped(seconds, *b"0:00:00.") {
        return 0;
    }
    let end = text.run_end(20, DIGIT, 9);
    if end == 20 || text.at(end) != b'Z' || text.at(end.wrapping_add(1)) != b' ' {
        return 0;
    }
    end.wrapping_add(1)
}

/// The longest timestamp, in bytes.
pub(crate) const LONGEST: usize = 30;

/// Whether a digit stands for each nought of the shape, and everything else is as it is there.
#[inline(always)]
fn is_shaped(bytes: [u8; 8], shape: [u8; 8]) -> bool {
    // Nought to nine and 6 is less than 16, and so is nought and 15.
    let slack = shape.map(|byte| if byte == b'0' { 6 } else { 15 });
    let difference = u64::from_le_bytes(bytes) ^ u64::from_le_bytes(shape);
    (difference | difference.wrapping_add(u64::from_le_bytes(slack))) & 0xf0f0_f0f0_f0f0_f0f0 == 0
}
