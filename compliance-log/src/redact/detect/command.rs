//! Secrets among the arguments of programs that take them there.

use super::super::detector::{Detector, is_placeholder};
use super::super::text::{LOWER, SPACE, Text, UPPER, is};
use super::Scan;
use super::secret::is_blank;

/// What an option's argument holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// A secret.
    Secret,
    /// A user, this byte, and a password.
    Behind(u8),
}

/// How an option and its argument are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// `-p x`, `--pass x`, `--pass=x`
    Apart,
    /// `-px`
    Glued,
    /// Both; of several letters behind one dash it is the last: `-sSu x`.
    Either,
}

/// A program and the options whose argument is a secret, from its manual.
#[derive(Debug)]
pub(crate) struct Program {
    /// The letters its name starts with.
    pub(crate) name: &'static str,
    /// What follows them in the name or as the first argument.
    tail: &'static [u8],
    options: &'static [(&'static [u8], Written, Holds)],
}

const fn program(
    name: &'static str,
    tail: &'static [u8],
    options: &'static [(&'static [u8], Written, Holds)],
) -> Program {
    Program { name, tail, options }
}

/// The programs.
pub(crate) const PROGRAMS: &[Program] = {
    use Holds::{Behind, Secret};
    use Written::{Apart, Either, Glued};
    &[
        program(
            "curl",
            b"",
            &[
                (b"-u", Either, Behind(b':')),
                (b"--user", Apart, Behind(b':')),
                (b"--proxy-user", Apart, Behind(b':')),
                (b"-U", Either, Behind(b':')),
            ],
        ),
        program("docker", b" login", &[(b"-p", Apart, Secret)]),
        program("podman", b" login", &[(b"-p", Apart, Secret)]),
        program("ldapsearch", b"", &[(b"-w", Apart, Secret)]),
        program("ldapmodify", b"", &[(b"-w", Apart, Secret)]),
        program("mariadb", b"", &[(b"-p", Glued, Secret)]),
        program("mongosh", b"", &[(b"-p", Apart, Secret)]),
        program("mysql", b"", &[(b"-p", Glued, Secret)]),
        program("mysqldump", b"", &[(b"-p", Glued, Secret)]),
        program("mysqladmin", b"", &[(b"-p", Glued, Secret)]),
        program("redis", b"-cli", &[(b"-a", Apart, Secret)]),
        program("smbclient", b"", &[(b"-U", Apart, Behind(b'%'))]),
        program("sqlcmd", b"", &[(b"-P", Either, Secret)]),
        program("sshpass", b"", &[(b"-p", Either, Secret)]),
    ]
};

/// How far behind a program's name its options are looked for, in bytes.
const ARGUMENTS: usize = 256;

/// The secrets behind the name of a program that stands from `name` to `end`.
pub(crate) fn command(scan: &mut Scan<'_, '_>, program: &Program, name: usize, end: usize) {
    let text = scan.text;
    let start = end.wrapping_add(program.tail.len());
    if !text.has(end, program.tail) || text.at(start) != b' ' {
        return scan.hangs_on(name, end, start.saturating_add(1));
    }
    scan.hangs_on_all(name);
    let limit = text.len().min(end.saturating_add(ARGUMENTS));
    let mut at = start;
    while at < limit && text.at(at) == b' ' {
        let (from, to) = argument(text, at.wrapping_add(1));
        let word = text.slice(from, to);
        // The next one has arguments of its own.
        if to == from || word == program.name.as_bytes() || matches!(word, b"|" | b"||" | b"&&" | b";") {
            return;
        }
        at = quoted_end(text, to);
        for (option, written, holds) in program.options {
            let Some(rest) = word.strip_prefix(*option).or_else(|| cluster(word, option, *written)) else {
                continue;
            };
            let glued = to.wrapping_sub(rest.len());
            let value = match rest.first() {
                None if *written != Written::Glued && text.at(at) == b' ' => {
                    argument(text, at.wrapping_add(1))
                }
                Some(b'=') if option.starts_with(b"--") => argument(text, glued.wrapping_add(1)),
                Some(_) if *written != Written::Apart => argument(text, glued),
                _ => continue,
            };
            at = at.max(quoted_end(text, value.1));
            secret(scan, *holds, value);
            break;
        }
    }
}

/// What is left of a word of one dash and letters of which the last is the option: nothing.
fn cluster<'w>(word: &'w [u8], option: &[u8], written: Written) -> Option<&'w [u8]> {
    let letters = word.strip_prefix(b"-")?;
    let fits = written == Written::Either
        && letters.len() <= 6
        && letters.iter().all(|byte| is(*byte, UPPER | LOWER))
        && letters.last() == option.last();
    fits.then(|| word.get(word.len()..)).flatten()
}

/// The argument at `at`, without quotes around it.
fn argument(text: Text<'_>, at: usize) -> (usize, usize) {
    let quote = text.at(at);
    let quoted = matches!(quote, b'"' | b'\'');
    let from = at.wrapping_add(usize::from(quoted));
    let mut to = from;
    while to < text.len()
        && to.wrapping_sub(from) < ARGUMENTS
        && if quoted { text.at(to) != quote && text.at(to) != b'\n' } else { !text.is(to, SPACE) }
    {
        to = to.wrapping_add(1);
    }
    (from, to)
}

/// Behind the quote at `at`, if one is there.
fn quoted_end(text: Text<'_>, at: usize) -> usize {
    at.wrapping_add(usize::from(matches!(text.at(at), b'"' | b'\'')))
}

fn secret(scan: &mut Scan<'_, '_>, holds: Holds, (from, to): (usize, usize)) {
    let text = scan.text;
    let from = match holds {
        Holds::Secret => from,
        Holds::Behind(sign) => {
            let user = text.slice(from, to).iter().position(|byte| *byte == sign);
            let Some(user) = user else { return };
            from.wrapping_add(user).wrapping_add(1)
        }
    };
    let found = text.slice(from, to);
    let option = holds == Holds::Secret && found.starts_with(b"-");
    if !is_blank(found) && !is_placeholder(found) && !found.starts_with(b"//") && !option {
        scan.hit(from, to, Detector::Password);
    }
}
