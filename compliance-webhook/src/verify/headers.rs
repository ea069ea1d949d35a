//! Picking the headers of a scheme out of a request.

use super::{MAX_SIGNATURE_HEADER_LEN, VerifyReason};
use crate::sign::MessageId;

/// More header fields than any server lets through.
pub(super) const MAX_FIELDS: usize = 1024;

/// The longest timestamp looked at, in bytes; the grammar is stricter.
const MAX_TIMESTAMP_LEN: usize = 32;

/// Which headers a scheme reads, in lower case.
#[derive(Clone, Copy)]
pub(super) struct Names {
    pub(super) id: Option<&'static str>,
    pub(super) timestamp: Option<&'static str>,
    pub(super) signature: &'static str,
}

/// What a header is for.
pub(super) enum Use {
    Id,
    Signature,
    Timestamp,
}

impl Names {
    /// Names compare without case (RFC 9110 §5.1). Inlined, so that constants stay constants.
    #[inline(always)]
    pub(super) fn find(self, name: &str) -> Option<Use> {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if is(self.signature) {
            Some(Use::Signature)
        } else if self.id.is_some_and(is) {
            Some(Use::Id)
        } else if self.timestamp.is_some_and(is) {
            Some(Use::Timestamp)
        } else {
            None
        }
    }
}

pub(super) struct Headers<V> {
    id: Option<V>,
    timestamp: Option<V>,
    signature: Option<V>,
}

impl<V: AsRef<[u8]>> Headers<V> {
    /// A name that comes twice is refused: which one counts differs from parser to parser.
    pub(super) fn collect<N: AsRef<str>>(
        find: impl Fn(&str) -> Option<Use>,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, VerifyReason> {
        let mut headers = Self { id: None, timestamp: None, signature: None };
        for (count, (name, value)) in fields.into_iter().enumerate() {
            if count >= MAX_FIELDS {
                return Err(VerifyReason::HeaderLength);
            }
            match find(name.as_ref()) {
                Some(Use::Id) => set(&mut headers.id, value, MessageId::MAX_LEN)?,
                Some(Use::Signature) => set(&mut headers.signature, value, MAX_SIGNATURE_HEADER_LEN)?,
                Some(Use::Timestamp) => set(&mut headers.timestamp, value, MAX_TIMESTAMP_LEN)?,
                None => {}
            }
        }
        Ok(headers)
    }

    pub(super) fn id(&self) -> Result<&[u8], VerifyReason> {
        required(self.id.as_ref())
    }

    pub(super) fn timestamp(&self) -> Result<&[u8], VerifyReason> {
        required(self.timestamp.as_ref())
    }

    pub(super) fn signature(&self) -> Result<&[u8], VerifyReason> {
        required(self.signature.as_ref())
    }
}

fn required<V: AsRef<[u8]>>(field: Option<&V>) -> Result<&[u8], VerifyReason> {
    field.map(AsRef::as_ref).ok_or(VerifyReason::HeaderMissing)
}

fn set<V: AsRef<[u8]>>(field: &mut Option<V>, value: V, max_len: usize) -> Result<(), VerifyReason> {
    if value.as_ref().len() > max_len {
        return Err(VerifyReason::HeaderLength);
    }
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(VerifyReason::HeaderDuplicate),
    }
}
