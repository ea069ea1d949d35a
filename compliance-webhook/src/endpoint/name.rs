//! Names that mean "inside".

use super::EndpointReason;

/// Last labels that never lead outside, lower-case, without dots.
///
/// `alt` RFC 9476 · `arpa` with `home.arpa` RFC 8375 and `ipv4only.arpa` RFC 8880 · `consul`, `svc` service
/// discovery · `corp`, `home`, `mail` never delegated (ICANN board resolution of 2018-02-04) · `internal` ICANN
/// board resolution of 2024-07-29 · `intranet`, `lan`, `private` RFC 6762 appendix G · `invalid`, `test`
/// RFC 6761 · `local` RFC 6762 · `localdomain` the resolver default of many systems · `onion` RFC 7686.
/// `localhost` has its own reason.
pub const INTERNAL_SUFFIXES: &[&str] = &[
    "alt",
    "arpa",
    "consul",
    "corp",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "mail",
    "onion",
    "private",
    "svc",
    "test",
];

/// Names under which clouds hand instance credentials to whoever asks; names below [`INTERNAL_SUFFIXES`] need
/// no entry. A name covers everything below it.
pub const METADATA_NAMES: &[&str] =
    &["metadata.goog", "metadata.packet.net", "metadata.platformequinix.com", "metadata.tencentyun.com"];

const MAX_NAME_LEN: usize = 253;
const MAX_LABEL_LEN: usize = 63;

/// Refuses what is no host name, RFC 1123 §2.1 with the underscore many receivers use.
pub(super) fn check_syntax(name: &str) -> Result<(), EndpointReason> {
    let label_ok = |label: &str| {
        (1..=MAX_LABEL_LEN).contains(&label.len())
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= MAX_NAME_LEN && name.split('.').all(label_ok) {
        Ok(())
    } else {
        Err(EndpointReason::Host)
    }
}

/// Refuses names that mean "inside".
pub(super) fn check_outside(name: &str, own: &[Box<str>]) -> Result<(), EndpointReason> {
    if is_localhost(name) {
        return Err(EndpointReason::Localhost);
    }
    if !name.contains('.') {
        return Err(EndpointReason::SingleLabel);
    }
    if is_internal(name) {
        return Err(EndpointReason::InternalName);
    }
    if METADATA_NAMES.iter().any(|listed| is_or_is_below(name, listed)) {
        return Err(EndpointReason::Metadata);
    }
    if own.iter().any(|listed| is_or_is_below(name, listed)) {
        return Err(EndpointReason::RefusedHost);
    }
    Ok(())
}

/// `localhost` and everything below it, RFC 6761 §6.3.
pub(crate) fn is_localhost(name: &str) -> bool {
    is_or_is_below(name, "localhost")
}

/// Names that public DNS does not have: one label, or one of [`INTERNAL_SUFFIXES`].
pub(crate) fn is_internal(name: &str) -> bool {
    name.rsplit_once('.').is_none_or(|(_, last)| INTERNAL_SUFFIXES.contains(&last))
}

fn is_or_is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
