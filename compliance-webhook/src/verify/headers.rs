//! Picking the three headers out of a request.

use super::{MAX_SIGNATURE_HEADER_LEN, VerifyReason};
use crate::sign::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, MessageId};

/// More header fields than any server lets through.
const MAX_FIELDS: usize = 1024;

/// The longest timestamp looked at, in bytes; the grammar is stricter.
const MAX_TIMESTAMP_LEN: usize = 32;

pub(super) struct Headers<V> {
    pub(super) id: Field<V>,
    pub(super) timestamp: Field<V>,
    pub(super) signature: Field<V>,
}

pub(super) struct Field<V>(Option<V>);

impl<V: AsRef<[u8]>> Headers<V> {
    /// Names compare without case (RFC 9110 §5.1). A name that comes twice is refused: which one counts
    /// differs from parser to parser.
    pub(super) fn collect<N: AsRef<str>>(
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, VerifyReason> {
        let mut headers = Self { id: Field(None), timestamp: Field(None), signature: Field(None) };
        for (count, (name, value)) in fields.into_iter().enumerate() {
            if count >= MAX_FIELDS {
                return Err(VerifyReason::HeaderLength);
            }
            let name = name.as_ref();
            if name.eq_ignore_ascii_case(HEADER_ID) {
                headers.id.set(value, MessageId::MAX_LEN)?;
            } else if name.eq_ignore_ascii_case(HEADER_TIMESTAMP) {
                headers.timestamp.set(value, MAX_TIMESTAMP_LEN)?;
            } else if name.eq_ignore_ascii_case(HEADER_SIGNATURE) {
                headers.signature.set(value, MAX_SIGNATURE_HEADER_LEN)?;
            }
        }
        Ok(headers)
    }
}

impl<V: AsRef<[u8]>> Field<V> {
    pub(super) fn get(&self, missing: VerifyReason) -> Result<&[u8], VerifyReason> {
        self.0.as_ref().map(AsRef::as_ref).ok_or(missing)
    }

    fn set(&mut self, value: V, max_len: usize) -> Result<(), VerifyReason> {
        if value.as_ref().len() > max_len {
            return Err(VerifyReason::HeaderLength);
        }
        match self.0.replace(value) {
            None => Ok(()),
            Some(_) => Err(VerifyReason::HeaderDuplicate),
        }
    }
}
