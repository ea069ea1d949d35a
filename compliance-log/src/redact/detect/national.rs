//! National identifiers made of digits: a table of lengths, layouts, check digits and announcing words.

use super::super::detector::Detector;
use super::super::lexicon::Cue;
use super::super::text::{LETTER, Text};
use super::super::words::WordSet;
use super::digits::{day_month, luhn, mod_11_10, number, uniform, verhoeff, weighted};
use super::number::{Group, Number, ends_clean, ends_part, starts_part};
use super::{Announced, Scan, bits};

/// When a number counts without a word that announces it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alone {
    /// Never: too many other numbers pass its check.
    Never,
    /// Never, and behind its word only in its official layout: it has no check, and the word means other things too.
    Shaped,
    /// When it is written in its official layout.
    Laid,
    /// So, and when it is no date of this decade with a time behind it: `260617-1457`.
    Timed,
    /// So, and when no unit follows: any number may be written in groups of three (ISO 80000-1 section 7.3.1).
    Grouped,
    /// Whenever its check passes.
    Checked,
}

impl Alone {
    /// Whether a number in so many groups may count without a word.
    #[inline]
    fn may_count(self, groups: usize) -> bool {
        match self {
            Self::Never | Self::Shaped => false,
            Self::Laid | Self::Timed | Self::Grouped => groups > 1,
            Self::Checked => true,
        }
    }
}

/// How an identifier is written: the sizes of its groups, and either one of the separators between all of
/// them, or exactly these separators in order.
type Layout = (&'static [usize], Separators);

#[derive(Clone, Copy)]
enum Separators {
    Same(&'static [u8]),
    Exact(&'static [u8]),
}

/// One identifier.
struct Scheme {
    detector: Detector,
    cues: &'static [Cue],
    /// Their bits.
    bits: u64,
    /// Group sizes and separators of the official layout.
    layout: Layout,
    check: fn(&[u8]) -> bool,
    alone: Alone,
    /// Whether the check must pass even next to the word, because the word means other things too.
    strict: bool,
}

/// Looks for every identifier in the number at hand.
pub(crate) fn national(scan: &mut Scan<'_, '_>, found: &Number) {
    if found.count() < 8 {
        return;
    }
    let start = found.start;
    let clean = starts_part(scan.text, start);
    let mut best: Option<(Announced, usize, Detector)> = None;
    for (index, group) in found.groups().iter().enumerate() {
        let schemes = schemes(group.digits());
        if schemes.is_empty() || !ends_part(scan.text, group.end()) {
            continue;
        }
        let digits = found.digits(group.digits());
        let groups = found.groups().get(..=index).unwrap_or(&[]);
        for scheme in schemes {
            let announced = if scan.has_any_cue(scheme.bits) {
                scheme.cues.iter().map(|cue| scan.announced(*cue, start)).max().unwrap_or(Announced::No)
            } else if scheme.alone.may_count(groups.len()) {
                Announced::No
            } else {
                continue;
            };
            let passes = match announced {
                Announced::Adjacent if scheme.alone == Alone::Shaped => {
                    groups.len() > 1 && laid(groups, scheme.layout)
                }
                Announced::Adjacent => !scheme.strict || (scheme.check)(digits),
                Announced::Near => clean && (scheme.check)(digits) && !scan.is_reference(start),
                Announced::No => {
                    let fits = || laid(groups, scheme.layout);
                    let shaped = scheme.alone.may_count(groups.len())
                        && match scheme.alone {
                            Alone::Checked => groups.len() == 1 || fits(),
                            Alone::Grouped => fits() && !is_counted(scan.text, group.end()),
                            Alone::Timed => fits() && !is_timestamp(digits),
                            Alone::Laid | Alone::Never | Alone::Shaped => fits(),
                        };
                    shaped && clean && (scheme.check)(digits) && !scan.is_reference(start)
                }
            };
            // A passing check decides between identifiers that share a word and a length.
            let better = passes
                && !uniform(digits)
                && best.is_none_or(|(other, end, _)| {
                    announced > other || (announced == other && group.end() > end && (scheme.check)(digits))
                });
            if better {
                best = Some((announced, group.end(), scheme.detector));
            }
        }
    }
    if let Some((_, end, detector)) = best {
        scan.hit(start, end, detector);
    } else if scan.has_cues()
        && clean
        && (scan.announced(Cue::National, start) == Announced::Adjacent
            || (found.count() >= 9 && scan.announced(Cue::Register, start) == Announced::Adjacent))
    {
        let end = found
            .groups()
            .iter()
            .rev()
            .find(|group| (6..=15).contains(&group.digits()) && ends_clean(scan.text, group.end()));
        if let Some(end) = end.map(|group| group.end()) {
            scan.hit(start, end, Detector::NationalId);
        }
    }
}

/// Whether a unit follows a number that ends at `end`.
fn is_counted(text: Text<'_>, end: usize) -> bool {
    static UNITS: WordSet = WordSet::new(&[
        "b", "byte", "bytes", "octet", "octets", "o", "kb", "ms", "ns", "us", "rows", "lines", "lignes",
        "zeilen", "requests", "records", "events", "items", "hits", "times", "keys", "entries", "messages",
        "eur", "usd",
    ]);
    let word = end.wrapping_add(1);
    text.at(end) == b' ' && UNITS.has(text.slice(word, text.run_end(word, LETTER, 12)))
}

/// Whether the groups have the layout's sizes and separators.
fn laid(groups: &[Group], (sizes, separators): Layout) -> bool {
    let between = || groups.iter().skip(1).map(|group| group.separator);
    Number::sizes(groups).eq(sizes.iter().copied())
        && match separators {
            Separators::Same(any) => {
                Number::separator(groups).is_some_and(|one| one == 0 || any.contains(&one))
            }
            Separators::Exact(exact) => between().eq(exact.iter().copied()),
        }
}

const fn scheme(
    detector: Detector,
    cues: &'static [Cue],
    layout: Layout,
    check: fn(&[u8]) -> bool,
    alone: Alone,
    strict: bool,
) -> Scheme {
    Scheme { detector, cues, bits: bits(cues), layout, check, alone, strict }
}

/// The identifiers of a length.
fn schemes(digits: usize) -> &'static [Scheme] {
    use Alone::{Checked, Grouped, Laid, Never, Shaped, Timed};
    use Detector as D;
    use Separators::{Exact, Same};
    const EIGHT: &[Scheme] = &[
        scheme(D::NlBsn, &[Cue::Bsn], (&[4, 4], Same(b" .")), unchecked, Never, false),
        scheme(D::AuTfn, &[Cue::Tfn], (&[2, 3, 3], Same(b" -")), unchecked, Never, false),
    ];
    const NINE: &[Scheme] = &[
        scheme(D::UsSsn, &[Cue::Ssn], (&[3, 2, 4], Same(b"-")), us_ssn, Laid, false),
        scheme(
            D::UsItin,
            &[Cue::Itin, Cue::Ssn, Cue::Tax, Cue::Tin],
            (&[3, 2, 4], Same(b"-")),
            us_itin,
            Laid,
            true,
        ),
        scheme(D::UsItin, &[Cue::Itin], (&[3, 2, 4], Same(b"-")), us_itin, Never, false),
        scheme(D::UsEin, &[Cue::Ein], (&[2, 7], Same(b"-")), unchecked, Shaped, true),
        scheme(D::UsSsn, &[Cue::Tin], (&[3, 2, 4], Same(b"-")), unchecked, Shaped, true),
        scheme(D::NlBsn, &[Cue::Bsn], (&[4, 2, 3], Same(b" .")), nl_bsn, Never, false),
        scheme(D::PtNif, &[Cue::Nif], (&[3, 3, 3], Same(b" ")), pt_nif, Never, false),
        scheme(D::AuTfn, &[Cue::Tfn], (&[3, 3, 3], Same(b" -")), au_tfn, Never, false),
        scheme(D::CaSin, &[Cue::Sin], (&[3, 3, 3], Same(b" -")), luhn, Never, true),
        scheme(D::CzRc, &[Cue::RodneCislo], (&[6, 3], Same(b"/")), unchecked, Never, false),
        scheme(D::CzRc, &[Cue::Rc], (&[6, 3], Same(b"/")), unchecked, Shaped, true),
        scheme(D::DeVat, &[Cue::Vat], (&[9], Same(b"")), mod_11_10, Never, true),
    ];
    const TEN: &[Scheme] = &[
        scheme(D::UkNhs, &[Cue::Nhs], (&[3, 3, 4], Same(b" -")), uk_nhs, Never, false),
        scheme(D::SePnr, &[Cue::Personnummer], (&[6, 4], Same(b"-")), se_pnr, Timed, false),
        scheme(D::CzRc, &[Cue::RodneCislo], (&[6, 4], Same(b"/")), cz_rc, Laid, false),
        scheme(D::CzRc, &[Cue::Rc], (&[6, 4], Same(b"/")), cz_rc, Shaped, true),
        scheme(D::AtSvnr, &[Cue::Svnr], (&[4, 6], Same(b" -")), at_svnr, Never, false),
        scheme(D::DkCpr, &[Cue::Cpr], (&[6, 4], Same(b"-")), dk_cpr, Never, false),
        scheme(D::AuMedicare, &[Cue::Medicare], (&[4, 5, 1], Same(b" -")), au_medicare, Never, false),
    ];
    const ELEVEN: &[Scheme] = &[
        scheme(D::DeTaxId, &[Cue::Tax], (&[2, 3, 3, 3], Same(b" ")), de_tax_id, Grouped, false),
        scheme(D::DeTaxId, &[Cue::Tin], (&[2, 3, 3, 3], Same(b" ")), de_tax_id, Never, true),
        scheme(D::BeNrn, &[Cue::Nrn], (&[2, 2, 2, 3, 2], Exact(b"..-.")), be_nrn, Laid, false),
        scheme(D::PlPesel, &[Cue::Pesel], (&[11], Same(b"")), pl_pesel, Never, false),
        scheme(D::NoFnr, &[Cue::Fnr], (&[6, 5], Same(b" ")), no_fnr, Checked, false),
        scheme(D::BrCpf, &[Cue::Cpf], (&[3, 3, 3, 2], Exact(b"..-")), br_cpf, Laid, false),
        scheme(D::AuMedicare, &[Cue::Medicare], (&[4, 5, 1, 1], Same(b" -/")), au_medicare, Never, false),
    ];
    const TWELVE: &[Scheme] = &[
        scheme(D::InAadhaar, &[Cue::Aadhaar], (&[4, 4, 4], Same(b" -")), in_aadhaar, Never, false),
        scheme(D::InAadhaar, &[Cue::Uid], (&[4, 4, 4], Same(b" -")), in_aadhaar, Never, true),
        scheme(D::SePnr, &[Cue::Personnummer], (&[8, 4], Same(b"-")), se_pnr_long, Laid, false),
    ];
    const THIRTEEN: &[Scheme] = &[
        scheme(D::ChAhv, &[Cue::Ahv], (&[3, 4, 4, 2], Same(b". ")), ch_ahv, Checked, true),
        scheme(D::FrNir, &[Cue::Nir], (&[1, 2, 2, 2, 3, 3], Same(b" .")), fr_nir_body, Never, true),
    ];
    const FOURTEEN: &[Scheme] =
        &[scheme(D::BrCnpj, &[Cue::Cnpj], (&[2, 3, 3, 4, 2], Exact(b"../-")), br_cnpj, Laid, false)];
    const FIFTEEN: &[Scheme] =
        &[scheme(D::FrNir, &[Cue::Nir], (&[1, 2, 2, 2, 3, 3, 2], Same(b" .-")), fr_nir, Checked, false)];
    match digits {
        8 => EIGHT,
        9 => NINE,
        10 => TEN,
        11 => ELEVEN,
        12 => TWELVE,
        13 => THIRTEEN,
        14 => FOURTEEN,
        15 => FIFTEEN,
        _ => &[],
    }
}

/// For identifiers without a check digit: they count next to their word only.
fn unchecked(_: &[u8]) -> bool {
    false
}

/// The digits from `start` to `end` as a number.
fn part(digits: &[u8], start: usize, end: usize) -> u64 {
    number(digits.get(start..end).unwrap_or(&[]))
}

fn digit(digits: &[u8], at: usize) -> u32 {
    digits.get(at).copied().map_or(0, u32::from)
}

fn us_ssn(digits: &[u8]) -> bool {
    !matches!(part(digits, 0, 3), 0 | 666 | 900..) && part(digits, 3, 5) != 0 && part(digits, 5, 9) != 0
}

fn us_itin(digits: &[u8]) -> bool {
    part(digits, 0, 3) >= 900 && matches!(part(digits, 3, 5), 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

fn nl_bsn(digits: &[u8]) -> bool {
    weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11 == digit(digits, 8)
}

fn pt_nif(digits: &[u8]) -> bool {
    let check = 11_u32.wrapping_sub(weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11);
    matches!(digit(digits, 0), 1 | 2 | 3 | 5 | 6 | 7 | 8 | 9)
        && digit(digits, 8) == if check > 9 { 0 } else { check }
}

fn au_tfn(digits: &[u8]) -> bool {
    weighted(digits, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11)
}

fn uk_nhs(digits: &[u8]) -> bool {
    let check = 11_u32.wrapping_sub(weighted(digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 11;
    check != 10 && check == digit(digits, 9)
}

/// `yymmddnnnc`; co-ordination numbers add 60 to the day.
fn se_pnr(digits: &[u8]) -> bool {
    let day = part(digits, 4, 6);
    luhn(digits) && day_month(if day > 60 { day.wrapping_sub(60) } else { day }, part(digits, 2, 4))
}

/// `yymmddhhmm` of the twenties.
fn is_timestamp(digits: &[u8]) -> bool {
    digit(digits, 0) == 2 && part(digits, 6, 8) < 24 && part(digits, 8, 10) < 60
}

fn se_pnr_long(digits: &[u8]) -> bool {
    matches!(part(digits, 0, 2), 18..=20) && digits.get(2..).is_some_and(se_pnr)
}

/// `yymmddxxxc`; women's months are counted from 51, overflow series from 21 and 71.
fn cz_rc(digits: &[u8]) -> bool {
    let month = part(digits, 2, 4) % 50;
    let month = if month > 20 { month.wrapping_sub(20) } else { month };
    let remainder = part(digits, 0, 9) % 11 % 10;
    day_month(part(digits, 4, 6), month) && remainder == u64::from(digit(digits, 9))
}

fn at_svnr(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]);
    digit(digits, 0) != 0 && sum % 11 == digit(digits, 3)
}

fn dk_cpr(digits: &[u8]) -> bool {
    day_month(part(digits, 0, 2), part(digits, 2, 4))
}

fn au_medicare(digits: &[u8]) -> bool {
    matches!(digit(digits, 0), 2..=6) && weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == digit(digits, 8)
}

fn de_tax_id(digits: &[u8]) -> bool {
    digit(digits, 0) != 0 && mod_11_10(digits)
}

fn be_nrn(digits: &[u8]) -> bool {
    let body = part(digits, 0, 9);
    let check = part(digits, 9, 11);
    // Those born from 2000 on put a 2 before the body.
    let passes = |body: u64| 97_u64.wrapping_sub(body % 97) == check;
    part(digits, 2, 4) <= 52 && (passes(body) || passes(body.wrapping_add(2_000_000_000)))
}

fn pl_pesel(digits: &[u8]) -> bool {
    weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]).is_multiple_of(10)
}

fn no_fnr(digits: &[u8]) -> bool {
    let day = part(digits, 0, 2);
    let month = part(digits, 2, 4);
    // D numbers add 40 to the day, H numbers 40 to the month.
    let day = if day > 40 { day.wrapping_sub(40) } else { day };
    let month = if month > 40 { month.wrapping_sub(40) } else { month };
    day_month(day, month)
        && weighted(digits, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]).is_multiple_of(11)
        && weighted(digits, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
}

/// A Brazilian check digit: modulus 11, ten becomes nought.
fn br_check(sum: u32) -> u32 {
    let check = 11_u32.wrapping_sub(sum % 11);
    if check > 9 { 0 } else { check }
}

fn br_cpf(digits: &[u8]) -> bool {
    br_check(weighted(digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2])) == digit(digits, 9)
        && br_check(weighted(digits, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2])) == digit(digits, 10)
}

fn br_cnpj(digits: &[u8]) -> bool {
    br_check(weighted(digits, &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2])) == digit(digits, 12)
        && br_check(weighted(digits, &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2])) == digit(digits, 13)
}

fn in_aadhaar(digits: &[u8]) -> bool {
    digit(digits, 0) > 1 && verhoeff(digits)
}

fn ch_ahv(digits: &[u8]) -> bool {
    part(digits, 0, 3) == 756 && weighted(digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
}

/// Sex, year and month of the number, without its key.
fn fr_nir_body(digits: &[u8]) -> bool {
    matches!(digit(digits, 0), 1..=4 | 7 | 8) && matches!(part(digits, 3, 5), 1..=12 | 20..=42 | 50..)
}

fn fr_nir(digits: &[u8]) -> bool {
    fr_nir_body(digits) && 97_u64.wrapping_sub(part(digits, 0, 13) % 97) == part(digits, 13, 15)
}
