//! Identifiers with letters in them, and values that only a word before them makes out.

use super::super::detector::Detector;
use super::super::lexicon::Cue;
use super::super::text::{ALNUM, DIGIT, LETTER, LOWER, Text, UPPER, WORD, is};
use super::digits::{day_month, mod_11_10};
use super::{Announced, Scan, payment};

/// The quick no of [`lettered`] and of account numbers, where letters go over into digits at `start`.
pub(crate) fn may_start(text: Text<'_>, start: usize) -> bool {
    let (first, second) = (text.at(start), text.at(start.wrapping_add(1)));
    if !is(second, LETTER) {
        return matches!(first | 0x20, b'x'..=b'z');
    }
    text.is(start.wrapping_add(2), LETTER)
        || (first | 0x20 == b'd' && second | 0x20 == b'e')
        || payment::iban_end(text, start).is_some()
        || three_pairs(text, start)
            .is_some_and(|end| ends_word(text, end) || ends_word(text, suffix_of(text, end).wrapping_add(1)))
}

/// A word of capitals with digits behind: tax codes, insurance numbers, VAT numbers.
pub(crate) fn lettered(scan: &mut Scan<'_, '_>, start: usize) {
    let text = scan.text;
    if text.is_before(start, WORD) || text.before(start) == b'_' {
        return;
    }
    let letters = text.run_end(start, UPPER | LOWER, 8).wrapping_sub(start);
    match letters {
        1 => spanish_foreigner(scan, start),
        2 => {
            uk_nino(scan, start);
            de_vat(scan, start);
        }
        5 => indian_pan(scan, start),
        6 => italian_code(scan, start),
        _ => {}
    }
}

/// A number with a letter in or behind it: Spanish, Finnish and German numbers.
pub(crate) fn numbered(scan: &mut Scan<'_, '_>, start: usize) {
    let text = scan.text;
    let end = text.run_end(start, DIGIT, 16);
    match end.wrapping_sub(start) {
        6 if matches!(text.at(end), b'-' | b'+' | b'A'..=b'F' | b'U'..=b'Y') => finnish_code(scan, start),
        8 => {
            let dash = usize::from(text.at(end) == b'-');
            let letter = end.wrapping_add(dash);
            if text.is(letter, UPPER) && ends_word(text, letter.wrapping_add(1)) {
                let sound = dni_letter(text.slice(start, end)) == Some(text.at(letter));
                if (sound && !scan.is_reference(start))
                    || scan.announced(Cue::Dni, start) == Announced::Adjacent
                {
                    scan.hit(start, letter.wrapping_add(1), Detector::EsDni);
                }
            } else if text.is(letter, UPPER) && dash == 0 {
                german_pension(scan, start, end);
            }
        }
        _ => {}
    }
}

/// Whether a word ends before `at`.
fn ends_word(text: Text<'_>, at: usize) -> bool {
    !text.is(at, WORD) && text.at(at) != b'_' && !(text.at(at) == b'-' && text.is(at.wrapping_add(1), WORD))
}

fn digit(byte: u8) -> u32 {
    u32::from(byte & 0x0f)
}

/// The control letter of eight digits.
fn dni_letter(digits: &[u8]) -> Option<u8> {
    let number = digits.iter().fold(0_u32, |number, byte| number.wrapping_mul(10).wrapping_add(digit(*byte)));
    b"TRWAGMYFPDXBNJZSQVHLCKE".get(usize::try_from(number % 23).ok()?).copied()
}

/// `X1234567L`: X, Y, Z stand for 0, 1, 2.
fn spanish_foreigner(scan: &mut Scan<'_, '_>, start: usize) {
    let text = scan.text;
    let first = text.at(start).to_ascii_uppercase();
    let mut at = start.wrapping_add(1);
    at = at.wrapping_add(usize::from(text.at(at) == b'-'));
    let end = text.run_end(at, DIGIT, 8);
    let letter = end.wrapping_add(usize::from(text.at(end) == b'-'));
    if !matches!(first, b'X'..=b'Z') || end.wrapping_sub(at) != 7 || !ends_word(text, letter.wrapping_add(1))
    {
        return;
    }
    let mut digits = vec![first.wrapping_sub(b'X' - b'0')];
    digits.extend_from_slice(text.slice(at, end));
    let announced =
        || scan.announced(Cue::Nie, start) == Announced::Adjacent && text.is(letter, UPPER | LOWER);
    let sound = dni_letter(&digits) == Some(text.at(letter).to_ascii_uppercase());
    if (sound && !scan.is_reference(start)) || announced() {
        scan.hit(start, letter.wrapping_add(1), Detector::EsNie);
    }
}

/// `ddmmyy`, century sign, individual number, control character.
fn finnish_code(scan: &mut Scan<'_, '_>, start: usize) {
    let text = scan.text;
    let body = text.slice(start, start.wrapping_add(6));
    let individual = text.slice(start.wrapping_add(7), start.wrapping_add(10));
    let control = text.at(start.wrapping_add(10));
    let two = |at: usize| {
        let two = body.get(at..at.wrapping_add(2)).unwrap_or(&[]);
        two.iter().fold(0_u64, |number, byte| number.wrapping_mul(10).wrapping_add(u64::from(digit(*byte))))
    };
    if individual.len() != 3 || !individual.iter().all(u8::is_ascii_digit) || !day_month(two(0), two(2)) {
        return;
    }
    let number = body
        .iter()
        .chain(individual)
        .fold(0_u32, |number, byte| number.wrapping_mul(10).wrapping_add(digit(*byte)));
    let expected =
        usize::try_from(number % 31).ok().and_then(|at| b"0123456789ABCDEFHJKLMNPRSTUVWXY".get(at));
    let announced = || scan.announced(Cue::Hetu, start) == Announced::Adjacent && is(control, ALNUM);
    // `230615-2044` is a date of the twenties and a time: one in thirty-one passes the check.
    let time = [
        text.slice(start.wrapping_add(7), start.wrapping_add(9)),
        text.slice(start.wrapping_add(9), start.wrapping_add(11)),
    ];
    let timestamp = text.at(start) == b'2'
        && day_month(two(4), two(2))
        && time.iter().all(|part| part.iter().all(u8::is_ascii_digit))
        && time.first().is_some_and(|hour| *hour < b"24".as_slice())
        && time.last().is_some_and(|minute| *minute < b"60".as_slice());
    let sound = expected == Some(&control.to_ascii_uppercase()) && !timestamp && !scan.is_reference(start);
    if (sound || announced()) && ends_word(text, start.wrapping_add(11)) {
        scan.hit(start, start.wrapping_add(11), Detector::FiHetu);
    }
}

/// Area, birth date, initial, serial, check: `65180539W001`.
fn german_pension(scan: &mut Scan<'_, '_>, start: usize, letter: usize) {
    let end = scan.text.run_end(letter.wrapping_add(1), DIGIT, 4);
    if end.wrapping_sub(letter) == 4
        && ends_word(scan.text, end)
        && scan.announced(Cue::Rvnr, start) >= Announced::Near
    {
        scan.hit(start, end, Detector::DeRvnr);
    }
}

/// Where three pairs of digits end that follow two letters.
fn three_pairs(text: Text<'_>, start: usize) -> Option<usize> {
    let mut at = start.wrapping_add(2);
    for _ in 0..3 {
        at = at.wrapping_add(usize::from(matches!(text.at(at), b' ' | b'-')));
        if !text.is(at, DIGIT) || !text.is(at.wrapping_add(1), DIGIT) {
            return None;
        }
        at = at.wrapping_add(2);
    }
    Some(at)
}

/// Where the letter stands that may follow three pairs which end at `end`.
fn suffix_of(text: Text<'_>, end: usize) -> usize {
    end.wrapping_add(usize::from(matches!(text.at(end), b' ' | b'-')))
}

/// Two letters, six digits, a letter A to D; with the prefixes HMRC never issues left out.
fn uk_nino(scan: &mut Scan<'_, '_>, start: usize) {
    let text = scan.text;
    let announced = scan.has_cues() && scan.announced(Cue::Nino, start) == Announced::Adjacent;
    let prefix = [text.at(start), text.at(start.wrapping_add(1))];
    let upper = prefix.map(|byte| byte.to_ascii_uppercase());
    if prefix != upper && !announced {
        return;
    }
    let Some(at) = three_pairs(text, start) else { return };
    let suffix = suffix_of(text, at);
    let end = suffix.wrapping_add(1);
    let [first, second] = upper;
    let issued = !matches!(first, b'D' | b'F' | b'I' | b'Q' | b'U' | b'V')
        && !matches!(second, b'D' | b'F' | b'I' | b'O' | b'Q' | b'U' | b'V')
        && !matches!(&upper, b"BG" | b"GB" | b"KN" | b"NK" | b"NT" | b"TN" | b"ZZ");
    if matches!(text.at(suffix).to_ascii_uppercase(), b'A'..=b'D')
        && ends_word(text, end)
        && (announced || (issued && !scan.is_reference(start)))
    {
        scan.hit(start, end, Detector::UkNino);
    } else if announced && ends_word(text, at) {
        scan.hit(start, at, Detector::UkNino);
    }
}

/// `DE` and nine digits.
fn de_vat(scan: &mut Scan<'_, '_>, start: usize) {
    let text = scan.text;
    if !text.has_any_case(start, b"de") {
        return;
    }
    let announced = scan.has_cues() && scan.announced(Cue::Vat, start) == Announced::Adjacent;
    let first = start.wrapping_add(2);
    let mut end =
        first.wrapping_add(usize::from(text.at(first) == b' ' || (announced && text.at(first) == b'-')));
    let mut digits = Vec::with_capacity(9);
    while digits.len() < 9 {
        // Behind its word in groups of three, too.
        let grouped = announced && digits.len() % 3 == 0 && !digits.is_empty() && text.at(end) == b' ';
        end = end.wrapping_add(usize::from(grouped));
        if !text.is(end, DIGIT) {
            return;
        }
        digits.push(text.at(end) & 0x0f);
        end = end.wrapping_add(1);
    }
    if !ends_word(text, end) {
        return;
    }
    if mod_11_10(&digits) || announced {
        scan.hit(start, end, Detector::DeVat);
    }
}

/// Five letters, four digits, a letter; the fourth tells the kind of holder.
fn indian_pan(scan: &mut Scan<'_, '_>, start: usize) {
    let text = scan.text;
    let announced = scan.has_cues() && scan.announced(Cue::Pan, start) == Announced::Adjacent;
    let shape = text.slice(start, start.wrapping_add(10)).to_ascii_uppercase();
    let fits = shape.len() == 10
        && (announced || !scan.is_reference(start))
        && shape
            .iter()
            .enumerate()
            .all(|(at, byte)| is(*byte, if (5..9).contains(&at) { DIGIT } else { UPPER }))
        && shape.get(3).is_some_and(|kind| b"ABCFGHJLPT".contains(kind));
    let one_case = announced || text.slice(start, start.wrapping_add(10)) == shape;
    if fits && one_case && ends_word(text, start.wrapping_add(10)) {
        scan.hit(start, start.wrapping_add(10), Detector::InPan);
    }
}

/// Sixteen characters `LLLLLLNNLNNLNNNL`, digits replaced by letters for namesakes, with a control letter.
fn italian_code(scan: &mut Scan<'_, '_>, start: usize) {
    const ODD: &[u8; 36] =
        b"\x01\x00\x05\x07\x09\x0d\x0f\x11\x13\x15\x01\x00\x05\x07\x09\x0d\x0f\x11\x13\x15\x02\x04\x12\x14\x0b\x03\x06\x08\x0c\x0e\x10\x0a\x16\x19\x18\x17";
    let text = scan.text;
    let end = start.wrapping_add(16);
    let code = text.slice(start, end).to_ascii_uppercase();
    let shaped = code.len() == 16
        && code.iter().enumerate().all(|(at, byte)| {
            if matches!(at, 0..=5 | 8 | 11 | 15) {
                is(*byte, UPPER)
            } else {
                is(*byte, DIGIT) || b"LMNPQRSTUV".contains(byte)
            }
        });
    if !shaped || !ends_word(text, end) {
        return;
    }
    let sum = code.iter().take(15).enumerate().fold(0_u32, |sum, (at, byte)| {
        let value = char::from(*byte).to_digit(36).unwrap_or(0);
        let term = if at % 2 == 0 {
            usize::try_from(value).ok().and_then(|at| ODD.get(at)).map_or(0, |term| u32::from(*term))
        } else if value > 9 {
            value.wrapping_sub(10)
        } else {
            value
        };
        sum.wrapping_add(term)
    });
    let control = code.get(15).map_or(99, |byte| u32::from(byte.wrapping_sub(b'A')));
    if sum % 26 == control || scan.announced(Cue::Cf, start) == Announced::Adjacent {
        scan.hit(start, end, Detector::ItCf);
    }
}

/// A value that stands right behind its word and has the shape the word promises.
pub(crate) fn announced_value(scan: &mut Scan<'_, '_>, cue: Cue, cue_end: usize) {
    let text = scan.text;
    let start = scan.value_after(cue_end);
    if start == cue_end || !text.is(start, WORD) {
        return;
    }
    let mut end = start;
    while end.wrapping_sub(start) < 24
        && (text.is(end, ALNUM) || (text.at(end) == b'-' && text.is(end.wrapping_add(1), ALNUM)))
    {
        end = end.wrapping_add(1);
    }
    if text.is(end, WORD) || text.at(end) == b'_' {
        return;
    }
    let value = text.slice(start, end);
    let count = |classes: u8| value.iter().filter(|byte| is(**byte, classes)).count();
    let (digits, capitals, small) = (count(DIGIT), count(UPPER), count(LOWER));
    // `pass no. 1234567` says what it means.
    let numbered = text.slice(cue_end, start).iter().any(|byte| is(*byte, LETTER));
    let cue = if cue == Cue::Pass && numbered { Cue::Passport } else { cue };
    let detector = match cue {
        // One or two letters or none, and digits: ICAO Doc 9303 allows nine characters.
        Cue::Passport if (6..=9).contains(&value.len()) && digits >= 5 && small == 0 => Detector::Passport,
        Cue::Passport if value.len() == 9 && digits >= 3 && capitals > 0 && small == 0 => Detector::Passport,
        Cue::IdCard
            if (9..=10).contains(&value.len()) && digits >= 3 && (capitals > 0 || card_number(value)) =>
        {
            Detector::DeIdCard
        }
        Cue::Pass
            if (6..=9).contains(&value.len()) && digits >= 5 && (1..=2).contains(&capitals) && small == 0 =>
        {
            Detector::Passport
        }
        Cue::Pps if (8..=9).contains(&value.len()) && digits == 7 && capitals > 0 => Detector::NationalId,
        Cue::Member if (5..=16).contains(&value.len()) && digits >= 4 && capitals > 0 && small == 0 => {
            Detector::Mrn
        }
        Cue::Patient if (5..=16).contains(&value.len()) && digits >= 4 && small == 0 => Detector::Mrn,
        Cue::Dni if value.len() == 9 && digits >= 7 && capitals.saturating_add(small) > 0 => Detector::EsDni,
        Cue::National if (6..=20).contains(&value.len()) && digits >= 4 => Detector::NationalId,
        _ => return,
    };
    scan.hit(start, end, detector);
}

/// A German card number of digits only: the last digit checks with weights 7, 3, 1.
fn card_number(value: &[u8]) -> bool {
    let digits: Vec<u8> = value.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| byte & 0x0f).collect();
    digits.len() == value.len() && weighted_731(&digits)
}

/// A date behind a word that announces a birth: `1974-07-14`, `14.07.1974`, `14 July 1974`, `July 14, 1974`.
pub(crate) fn birth(scan: &mut Scan<'_, '_>, cue_end: usize) {
    let text = scan.text;
    let start = scan.value_after(cue_end);
    let date_at = |start: usize| Some((start, date_end(text, start)?));
    // `geboren in Köln am 14.07.1974`: a few more words may come between.
    let reach = start.saturating_add(FURTHER);
    let number = || next_digit(text, start, reach, |at| !text.is_before(at, WORD)).and_then(date_at);
    // Written as one with the word before it.
    let glued = || next_digit(text, start, reach, |_| true).and_then(date_at);
    let date = date_at(start).or_else(number).or_else(glued);
    let cue = cue_end.wrapping_sub(1);
    let Some((start, end)) = date.filter(|(start, _)| *start > cue_end) else {
        return scan.hangs_on(cue, cue_end, usize::MAX);
    };
    // From a placeholder on the next one would be looked for, unless it goes as well.
    let behind = end.saturating_add(DATES);
    let mut at = end;
    while !scan.gave_up()
        && let Some(another) = next_digit(text, at, behind, |_| true)
    {
        if date_end(text, another).is_some() {
            scan.hangs_on(another, start, another);
        }
        at = text.run_end(another, DIGIT, DATES);
    }
    // In a longer text, one may come nearer from behind.
    let reach = if text.len() > behind { DATES } else { 1 };
    scan.hangs_on(cue, end, end.saturating_add(reach));
    scan.hit(start, end, Detector::Dob);
}

/// So far behind a word that announces a birth a date may stand, in bytes.
pub(super) const FURTHER: usize = 24;

/// How far behind a date another one is looked for that may come nearer, in bytes.
const DATES: usize = 256;

/// The first digit from `start` on that `counts`, in the same line and at most at `limit`.
fn next_digit(text: Text<'_>, start: usize, limit: usize, counts: impl Fn(usize) -> bool) -> Option<usize> {
    let line = text.slice(start, text.len().min(limit.saturating_add(1)));
    let end = line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len());
    (start..start.wrapping_add(end)).find(|at| text.is(*at, DIGIT) && counts(*at))
}

/// Where the date at `start` ends.
pub(crate) fn date_end(text: Text<'_>, start: usize) -> Option<usize> {
    let mut at = start;
    let mut sizes = [0_usize; 3];
    let mut words = 0_usize;
    let mut parts = 0;
    while let Some(size) = sizes.get_mut(parts) {
        let end = text.run_end(at, DIGIT, 9);
        if end > at {
            *size = end.wrapping_sub(at);
        } else {
            let end = text.run_end(at, LETTER, 20);
            if end.wrapping_sub(at) < 3 || words == 1 || parts == 2 {
                return None;
            }
            words = words.wrapping_add(1);
        }
        at = if *size > 0 { end } else { text.run_end(at, LETTER, 20) };
        parts = parts.wrapping_add(1);
        if *size == 8 && parts == 1 && !text.is(at, LETTER) {
            return Some(at);
        }
        if parts == 3 {
            break;
        }
        let separators = text.slice(at, text.len().min(at.wrapping_add(4)));
        let width = match separators {
            [b' ', b'd', b'e', b' ', ..] => 4,
            [b'.' | b',', b' ', ..] => 2,
            [b'%', b'2', b'F' | b'f', ..] => 3,
            [b'.' | b'-' | b'/' | b' ', ..] => 1,
            _ => return None,
        };
        at = at.wrapping_add(width);
    }
    let [first, second, third] = sizes;
    let numeric = matches!((first, second, third), (4, 1..=2, 1..=2) | (1..=2, 1..=2, 2 | 4));
    let named =
        words == 1 && matches!((first, second, third), (1..=2, 0, 2 | 4) | (0, 1..=2, 4) | (4, 0, 1..=2));
    // A time of day may follow with a T; more digits may not.
    ((numeric || named) && !text.is(at, DIGIT)).then_some(at)
}

/// ICAO Doc 9303 part 3: the last digit is the sum of the others times 7, 3, 1, modulo 10.
fn weighted_731(digits: &[u8]) -> bool {
    digits.split_last().is_some_and(|(check, body)| {
        let sum = body
            .iter()
            .zip([7_u32, 3, 1].iter().cycle())
            .fold(0_u32, |sum, (digit, weight)| sum.wrapping_add(u32::from(*digit).wrapping_mul(*weight)));
        sum % 10 == u32::from(*check)
    })
}
