//! Check digits. Each takes decimal digits as numbers 0 to 9 and knows its own length.

/// ISO/IEC 7812-1 annex B: doubles every second digit from the right. Eight at a time, from the last one on; digits of
/// ASCII will do.
#[inline(never)]
pub(crate) fn luhn(digits: &[u8]) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let mut sum = 0_u64;
    for eight in digits.rchunks(8) {
        // What is missing of eight is nought.
        let mut last = [0; 8];
        last.iter_mut().rev().zip(eight.iter().rev()).for_each(|(cell, byte)| *cell = *byte);
        let digits = u64::from_le_bytes(last) & (ONES * 15);
        let doubled = digits & 0x000f_000f_000f_000f;
        let each = digits.wrapping_add(doubled);
        // Of a doubled digit above nine the sum of its digits counts.
        let above = (each.wrapping_add(ONES * 118) >> 7) & ONES;
        let all = each.wrapping_sub(above.wrapping_mul(9)).wrapping_mul(ONES) >> 56;
        sum = all.wrapping_add(sum);
    }
    !digits.is_empty() && sum.is_multiple_of(10)
}

/// The sum of digits times weights.
pub(crate) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits
        .iter()
        .zip(weights)
        .fold(0, |sum, (digit, weight)| sum.wrapping_add(u32::from(*digit).wrapping_mul(*weight)))
}

/// The digits as one number; at most 19 of them.
pub(crate) fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, digit| number.wrapping_mul(10).wrapping_add(u64::from(*digit)))
}

/// ISO/IEC 7064 MOD 11,10.
pub(crate) fn mod_11_10(digits: &[u8]) -> bool {
    let Some((check, body)) = digits.split_last() else { return false };
    let product = body.iter().fold(10_u32, |product, digit| {
        let sum = u32::from(*digit).wrapping_add(product) % 10;
        let sum = if sum == 0 { 10 } else { sum };
        sum.wrapping_mul(2) % 11
    });
    11_u32.wrapping_sub(product) % 10 == u32::from(*check)
}

/// Verhoeff's dihedral check.
pub(crate) fn verhoeff(digits: &[u8]) -> bool {
    const PERMUTATION: [[u8; 10]; 8] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
        [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
        [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
        [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
        [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
    ];
    let check = digits.iter().rev().zip(PERMUTATION.iter().cycle()).fold(0_u8, |check, (digit, row)| {
        dihedral(check, row.get(usize::from(*digit)).copied().unwrap_or(0))
    });
    check == 0
}

/// The product in the dihedral group of order ten.
fn dihedral(left: u8, right: u8) -> u8 {
    let (rotate, flip) = (left % 5, left >= 5);
    let (other, other_flip) = (right % 5, right >= 5);
    let rotation =
        if flip { rotate.wrapping_add(5).wrapping_sub(other) % 5 } else { rotate.wrapping_add(other) % 5 };
    if flip == other_flip { rotation } else { rotation.wrapping_add(5) }
}

/// Whether all digits are the same: `000000000` and its like are placeholders.
pub(crate) fn uniform(digits: &[u8]) -> bool {
    digits.first().is_some_and(|first| digits.iter().all(|digit| digit == first))
}

/// Whether two-digit parts are a day and a month.
pub(crate) fn day_month(day: u64, month: u64) -> bool {
    (1..=31).contains(&day) && (1..=12).contains(&month)
}
