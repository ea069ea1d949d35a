//! Passwords as people choose them, and as attackers do.

use secrecy::SecretString;

use crate::random::{ALPHANUMERIC, Random};

/// Of each of five kinds.
const TYPICAL: usize = 400;
/// Of each of five kinds.
const HOSTILE: usize = 200;
/// The first of the hostile ones: 100 characters, all of which stand for letters.
pub(super) const STAND_INS: usize = 8;

const COMMON: [&str; 40] = [
    "123456",
    "password",
    "12345678",
    "qwerty",
    "123456789",
    "dragon",
    "baseball",
    "football",
    "letmein",
    "monkey",
    "696969",
    "abc123",
    "mustang",
    "michael",
    "shadow",
    "master",
    "jennifer",
    "111111",
    "jordan",
    "superman",
    "harley",
    "1234567",
    "hunter",
    "trustno1",
    "ranger",
    "buster",
    "thomas",
    "robert",
    "soccer",
    "batman",
    "killer",
    "hockey",
    "george",
    "charlie",
    "andrew",
    "michelle",
    "sunshine",
    "jessica",
    "pepper",
    "princess",
];

const WORDS: [&str; 40] = [
    "velvet", "candle", "garden", "copper", "marble", "ladder", "forest", "window", "silver", "river",
    "mountain", "paper", "orange", "yellow", "summer", "winter", "castle", "bridge", "rabbit", "turtle",
    "planet", "rocket", "guitar", "violin", "pencil", "market", "harbor", "anchor", "lantern", "meadow",
    "thunder", "pebble", "saddle", "biscuit", "walnut", "cotton", "harvest", "mirror", "compass", "antelope",
];

const NAMES: [&str; 20] = [
    "Anna", "Max", "Peter", "Sophie", "Lukas", "Marie", "Paul", "Julia", "Felix", "Laura", "Jonas", "Emma",
    "David", "Sarah", "Simon", "Lena", "Tim", "Hannah", "Jan", "Nina",
];

const PRINTABLE: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789!#$%&*+-=?@_";

/// 2,000: common ones, common ones with letters replaced, random ones, phrases, names with dates.
pub(super) fn typical() -> Vec<SecretString> {
    let mut random = Random::seeded(9);
    let mut passwords = Vec::new();
    for _ in 0..TYPICAL {
        let common = random.pick(&COMMON).unwrap_or_default();
        let ending = random.pick(&["", "", "1", "12", "123", "2024", "!"]).unwrap_or_default();
        passwords.push(format!("{common}{ending}"));

        let common = random.pick(&COMMON).unwrap_or_default();
        let replaced = |c| match c {
            'a' => '@',
            'e' => '3',
            'i' => '1',
            'o' => '0',
            's' => '$',
            other => other,
        };
        let number = random.below(100);
        passwords.push(format!("{}{number}", common.chars().map(replaced).collect::<String>()));

        let len = 8 + random.below(13);
        passwords.push(random.text(PRINTABLE, len));

        let separator = random.pick(&[" ", "-", ""]).unwrap_or_default();
        let count = 3 + random.below(3);
        let words: Vec<&str> = (0..count).map(|_| random.pick(&WORDS).unwrap_or_default()).collect();
        passwords.push(words.join(separator));

        let name = random.pick(&NAMES).unwrap_or_default();
        let (day, month, year) = (random.below(28) + 1, random.below(12) + 1, 1950 + random.below(60));
        passwords.push(match random.below(3) {
            0 => format!("{name}{year}"),
            1 => format!("{name}{day:02}.{month:02}.{year}"),
            _ => format!("{name}{day:02}{month:02}{}!", year % 100),
        });
    }
    passwords.into_iter().map(SecretString::from).collect()
}

/// 1,000 of 64 to 256 characters: characters that stand for letters, few characters over and over, repeats of
/// repeats, combining marks, and a mixture of dates, walks and digits. The [`STAND_INS`] come first.
pub(super) fn hostile() -> Vec<SecretString> {
    const STAND_FOR_LETTERS: &[u8] = b"4@8({[<3691!|170$5+%2&";
    const MARKS: [char; 6] = ['\u{300}', '\u{301}', '\u{308}', '\u{323}', '\u{327}', '\u{345}'];
    let mut random = Random::seeded(10);
    let mut passwords: Vec<String> = (0..STAND_INS).map(|_| random.text(STAND_FOR_LETTERS, 100)).collect();
    for _ in 0..HOSTILE {
        let len = 64 + random.below(193);
        passwords.push(random.text(STAND_FOR_LETTERS, len));

        let from = random.below(ALPHANUMERIC.len() - 2);
        let few = ALPHANUMERIC.get(from..from + 2).unwrap_or_default();
        passwords.push(random.text(few, len));

        let (outer_len, inner_len) = (1 + random.below(8), 1 + random.below(4));
        let (outer, inner) = (random.text(b"ab1", outer_len), random.text(b"aA@4", inner_len));
        passwords.push(format!("{}{outer}", inner.repeat(9)).repeat(32).chars().take(len).collect());

        let marked = |n: usize| if n % 4 == 0 { 'a' } else { MARKS.get(n % 6).copied().unwrap_or('\u{300}') };
        let start = random.below(24);
        passwords.push((start..start + len).map(marked).collect());

        passwords.push(random.text(b"qwertzasdf1234567890./-", len));
    }
    passwords.into_iter().map(SecretString::from).collect()
}
