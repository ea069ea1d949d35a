//! Names behind a word that announces one: a form of address, a role, a key.

use super::super::detector::{Detector, placeholder_at};
use super::super::lexicon::{Naming, announces};
use super::super::text::{DIGIT, HIGH, LETTER, LOWER, Text, UPPER, is};
use super::super::words::WordSet;
use super::Scan;

/// The most words of a name, particles included.
const MAX_WORDS: usize = 9;

/// A name behind the word at `start..end`.
pub(crate) fn named(scan: &mut Scan<'_, '_>, naming: Naming, start: usize, end: usize) {
    let text = scan.text;
    let Some(from) = place(text, naming, start, end) else { return };
    let from = skip_titles(text, from);
    let Some((to, words)) = name_end(text, from) else { return };
    let least = match naming {
        Naming::Title | Naming::Salutation | Naming::NamePart => 1,
        Naming::Name if PARTS.has(owner(text, start)) => 1,
        Naming::Role | Naming::Name => 2,
    };
    if words < least {
        return;
    }
    let first = if naming == Naming::Title && from.wrapping_sub(end) < 24 {
        title_start(text, start)
    } else {
        titled(text, naming, end, from)
    };
    scan.hit(first, to, Detector::Person);
}

/// Where the name may start behind its word.
fn place(text: Text<'_>, naming: Naming, start: usize, end: usize) -> Option<usize> {
    let mut at = end;
    match naming {
        Naming::Title => {
            at = at.wrapping_add(usize::from(text.at(at) == b'.'));
            if !(matches!(text.at(at), b' ' | b'-') || (text.before(at) == b'.' && text.is(at, UPPER))) {
                return None;
            }
            // `Miss` and `Don` are verbs in other places: a title starts with a capital.
            if !text.is(start, UPPER | HIGH) {
                return None;
            }
            // `MX Record`, `MS Word`: abbreviations of other things.
            static OTHERS: WordSet =
                WordSet::new(&["MX", "MS", "ING", "MAG", "SIG", "DON", "SIR", "HR", "SR", "DL", "DNA"]);
            if OTHERS.has_exactly(text.slice(start, end)) && text.before(at) != b'.' {
                return None;
            }
            at = at.wrapping_add(usize::from(text.at(at) == b' '));
        }
        Naming::Salutation => {
            if text.at(at) != b' ' {
                return None;
            }
            at = at.wrapping_add(1);
        }
        Naming::Role => {
            const BETWEEN: [&[u8]; 9] =
                [b" an ", b" to ", b" for ", b" from ", b" name ", b" named ", b" is ", b" de ", b" von "];
            if text.at(at) == b' ' {
                let first = text.at(at.wrapping_add(1)) | 0x20;
                let mut led = BETWEEN.iter().filter(|word| word.get(1) == Some(&first));
                if let Some(word) = led.find(|word| text.has_any_case(at, word)) {
                    at = at.wrapping_add(word.len()).wrapping_sub(1);
                }
            }
            let from = at;
            while matches!(text.at(at), b' ' | b':' | b'=' | b'"' | b'\'' | b'\\' | b'(')
                && at.wrapping_sub(from) < 6
            {
                at = at.wrapping_add(1);
            }
            if at == from {
                return None;
            }
        }
        Naming::NamePart | Naming::Name => {
            if naming == Naming::Name && !of_person(text, start) {
                return None;
            }
            let from = at;
            let mut assigned = false;
            while matches!(text.at(at), b' ' | b':' | b'=' | b'"' | b'\'' | b'\\' | b'(')
                && at.wrapping_sub(from) < 10
            {
                assigned |= matches!(text.at(at), b':' | b'=');
                at = at.wrapping_add(1);
            }
            if !assigned || text.has(from, b"::") {
                return None;
            }
        }
    }
    Some(at)
}

/// Parts of a name, before `name`: of those one word is enough.
static PARTS: WordSet = WordSet::new(&["family", "first", "given", "last", "maiden", "middle"]);

/// The word before `start` in the same identifier or phrase.
fn owner<'t>(text: Text<'t>, start: usize) -> &'t [u8] {
    let joined = matches!(text.before(start), b'_' | b'-' | b'.' | b' ');
    let end = start.wrapping_sub(usize::from(joined));
    text.slice(text.run_start(end, LETTER, 16), end)
}

/// Whether `name` is not the name of a thing: `host_name`, `fileName`, `service.name`.
fn of_person(text: Text<'_>, start: usize) -> bool {
    static OWNERS: WordSet = WordSet::new(&[
        "full",
        "customer",
        "client",
        "patient",
        "user",
        "display",
        "real",
        "contact",
        "legal",
        "holder",
        "card",
        "first",
        "last",
        "middle",
        "given",
        "family",
        "maiden",
        "birth",
        "billing",
        "shipping",
        "sender",
        "recipient",
        "employee",
        "member",
        "guest",
        "passenger",
        "payer",
        "payee",
        "beneficiary",
        "account",
        "owner",
        "person",
        "your",
        "my",
        "his",
        "her",
        "kunden",
        "the",
        "and",
        "applicant",
        "cardholder",
        "insured",
        "student",
    ]);
    let owner = owner(text, start);
    owner.is_empty() || (text.before(start) == b' ') || OWNERS.has(owner)
}

static TITLES: WordSet = WordSet::new(&[
    "mr",
    "mrs",
    "ms",
    "miss",
    "mx",
    "dr",
    "prof",
    "herr",
    "herrn",
    "frau",
    "monsieur",
    "madame",
    "mme",
    "mlle",
    "sr",
    "sra",
    "srta",
    "dhr",
    "heer",
    "mevr",
    "mevrouw",
    "hr",
    "fru",
    "ing",
    "mag",
    "dipl",
    "univ",
    "sir",
    "dame",
    "sig",
    "dott",
    "phil",
    "med",
    "rer",
    "nat",
    "jur",
    "habil",
    "m",
    "dipl.-ing",
]);

/// Where the words after titles such as `Prof. Dr.` start.
fn skip_titles(text: Text<'_>, from: usize) -> usize {
    let mut at = from;
    for _ in 0..5 {
        let end = text.run_end(at, UPPER | LOWER, 12);
        let title = TITLES.has(text.slice(at, end));
        let dot = text.at(end) == b'.';
        let mut next = end.wrapping_add(usize::from(dot));
        let gap = matches!(text.at(next), b' ' | b'-') || (dot && text.is(next, UPPER));
        if !title || end == at || !gap {
            break;
        }
        next = next.wrapping_add(usize::from(matches!(text.at(next), b' ' | b'-')));
        at = next;
    }
    at
}

/// Where the titles directly before a title start: they belong to the name.
fn title_start(text: Text<'_>, start: usize) -> usize {
    let mut at = start;
    while matches!(text.before(at), b'.' | b'-') && text.is_before(at.wrapping_sub(1), LETTER) {
        at = text.run_start(at.wrapping_sub(1), LETTER, 12);
    }
    at
}

/// Where the titles after a role start, the name's own start without any.
fn titled(text: Text<'_>, naming: Naming, end: usize, from: usize) -> usize {
    let mut at = end;
    while at < from && !text.is(at, LETTER) {
        at = at.wrapping_add(1);
    }
    if naming == Naming::Role && at < from {
        let mut first = at;
        while first < from {
            let word = text.run_end(first, UPPER | LOWER, 12);
            if TITLES.has(text.slice(first, word)) {
                return first;
            }
            first = word.max(first.wrapping_add(1));
            while first < from && !text.is(first, LETTER) {
                first = first.wrapping_add(1);
            }
        }
        return from;
    }
    at.min(from)
}

/// Where the name at `from` ends, and of how many capitalised words it is.
fn name_end(text: Text<'_>, from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    let mut end = None;
    let mut words = 0_usize;
    for _ in 0..MAX_WORDS {
        let Some((stop, kind)) = name_word(text, at) else { break };
        match kind {
            Word::Capitalised => {
                if is_technical(text.slice(at, stop)) || (words > 0 && announces(text.str(at, stop))) {
                    break;
                }
                words = words.wrapping_add(1);
                end = Some(stop);
            }
            Word::Degree if words > 0 => {
                end = Some(stop);
            }
            Word::Initial | Word::Particle => {}
            Word::Degree => break,
        }
        if text.at(stop) != b' ' {
            break;
        }
        at = stop.wrapping_add(1);
    }
    end.map(|end| (end, words))
}

enum Word {
    Capitalised,
    /// `MD`, `PhD`, `B.Sc.`, `Jr.`
    Degree,
    Initial,
    Particle,
}

/// The word of a name at `at`.
fn name_word(text: Text<'_>, at: usize) -> Option<(usize, Word)> {
    static PARTICLES: WordSet = WordSet::new(&[
        "van", "de", "der", "den", "von", "zu", "zum", "zur", "vom", "la", "le", "du", "des", "da", "dos",
        "do", "das", "di", "del", "della", "dalla", "bin", "ibn", "al", "el", "ter", "ten", "te", "op", "y",
        "e", "af", "av", "'t", "und",
    ]);
    if placeholder_at(text, at).is_some() {
        return None;
    }
    let mut end = at;
    let mut previous = 0_u8;
    while end.wrapping_sub(at) < 48 {
        let byte = text.at(end);
        let inside = is(byte, LETTER)
            || (matches!(byte, b'\'' | b'-') && is(previous, LETTER) && text.is(end.wrapping_add(1), LETTER))
            || (byte == b'.' && is(previous, LETTER) && text.is(end.wrapping_add(1), UPPER));
        if !inside {
            break;
        }
        previous = byte;
        end = end.wrapping_add(1);
    }
    let end = text.boundary(end);
    let word = text.str(at, end);
    let after = text.at(end);
    if word.is_empty()
        || text.is(end, DIGIT)
        || matches!(after, b'_' | b'(' | b'=' | b'/' | b'[' | b'{' | b'<' | b'@')
        || (after == b':' && text.at(end.wrapping_add(1)) == b':')
    {
        return None;
    }
    if PARTICLES.has_exactly(word.as_bytes()) {
        return Some((end, Word::Particle));
    }
    let mut characters = word.chars();
    let capital = characters.next().is_some_and(char::is_uppercase);
    if !capital {
        return None;
    }
    let degree = word.bytes().any(|byte| byte == b'.')
        || matches!(
            word,
            "MD" | "DDS"
                | "DVM"
                | "PhD"
                | "MBA"
                | "Jr"
                | "Sr"
                | "II"
                | "III"
                | "IV"
                | "MSc"
                | "BSc"
                | "MA"
                | "BA"
                | "LLM"
                | "MEng"
                | "BEng"
        );
    if degree {
        return Some((end.wrapping_add(usize::from(after == b'.')), Word::Degree));
    }
    if characters.as_str().is_empty() {
        let dot = usize::from(after == b'.');
        return Some((end.wrapping_add(dot), Word::Initial));
    }
    // `ERROR` and `API` are no names; `MÜLLER` behind a key is missed.
    let not_capital =
        |character: char| character.is_lowercase() || (!character.is_ascii() && !character.is_uppercase());
    characters.any(not_capital).then_some((end, Word::Capitalised))
}

/// Capitalised words of messages, not of names.
fn is_technical(word: &[u8]) -> bool {
    static WORDS: WordSet = WordSet::new(&[
        "Id",
        "Error",
        "Service",
        "Request",
        "Response",
        "Not",
        "Found",
        "The",
        "Team",
        "Support",
        "Customer",
        "Client",
        "Madam",
        "All",
        "User",
        "Users",
        "Login",
        "Logout",
        "Failed",
        "Created",
        "Updated",
        "Deleted",
        "Invalid",
        "Unknown",
        "Access",
        "Account",
        "Session",
        "Server",
        "Database",
        "System",
        "Internal",
        "External",
        "Connection",
        "Some",
        "None",
        "Ok",
        "Err",
        "Hello",
        "This",
        "That",
        "Your",
        "Our",
        "No",
        "New",
        "Old",
        "Test",
        "Default",
        "Admin",
        "Status",
        "Number",
        "Name",
        "Email",
        "Phone",
        "Address",
        "Date",
        "Time",
        "Api",
        "Http",
        "Https",
        "Json",
        "Url",
        "Uri",
        "Uuid",
        "Data",
        "File",
        "Event",
        "Message",
        "Order",
        "Payment",
        "Invoice",
        "Agent",
        "Mozilla",
        "Chrome",
        "Safari",
        "Windows",
        "Linux",
        "Steuer",
        "Nummer",
        "Kunden",
        "Kontakt",
        "Bestellung",
        "Rechnung",
        "Anfrage",
        "Fehler",
        "Portal",
        "Management",
        "Manager",
        "Handler",
        "Controller",
        "Exception",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
        "Sir",
        "Credentials",
        "Code",
        "Info",
        "Details",
        "Profile",
    ]);
    WORDS.has_exactly(word)
}
