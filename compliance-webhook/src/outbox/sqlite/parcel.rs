//! Many messages in one row.
//!
//! A row wakes whoever waits for it, in another thread; for a hundred messages of a kilobyte that costs more than
//! reading them. So SQLite puts them together: numbers in one column, ids and content types in another, payloads in
//! a third, each without separators.

use compliance_core::finding::Enforcement;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::database_error;
use crate::outbox::sql::{DISCLOSURE, StoredMessage, corrupt, disclosure};
use crate::outbox::{Disclosure, OutboxError};

/// The columns, for messages `m` of deliveries `d` to endpoint `e`.
pub(super) fn columns() -> String {
    COLUMNS.replace("{disclosure}", DISCLOSURE)
}

/// A message that is not there has the lengths -1.
const COLUMNS: &str = "group_concat(format('%d %d %d %d %d %d %d %d %d %d %d', d.seq, d.fence + 1, d.attempts, \
       d.next_at, d.ordering_key IS NOT NULL, coalesce(m.sealed, 0), {disclosure}, \
       coalesce(m.enqueued_at, 0), coalesce(octet_length(m.id), -1), \
       coalesce(octet_length(m.content_type), -1), coalesce(octet_length(m.payload), -1)), ';'), \
     CAST(group_concat(m.id || m.content_type, '') AS BLOB), \
     CAST(group_concat(m.payload, '') AS BLOB)";

/// What is in one place of the row.
pub(super) struct Item<'r> {
    pub(super) sequence: i64,
    pub(super) fence: i64,
    pub(super) attempts: i64,
    pub(super) next_at: i64,
    pub(super) is_ordered: bool,
    pub(super) is_sealed: bool,
    pub(super) disclosure: Disclosure,
    /// `None` when it is not there.
    pub(super) message: Option<StoredMessage<'r>>,
}

/// Takes the columns from `first` on apart.
pub(super) fn unpack(
    row: &SqliteRow,
    first: usize,
    enforcement: Enforcement,
) -> Result<Vec<Item<'_>>, OutboxError> {
    let column = |offset: usize| first.saturating_add(offset);
    let numbers: Option<&str> = row.try_get(column(0)).map_err(database_error)?;
    let names: Option<&[u8]> = row.try_get(column(1)).map_err(database_error)?;
    let payloads: Option<&[u8]> = row.try_get(column(2)).map_err(database_error)?;
    let (mut names, mut payloads) = (names.unwrap_or_default(), payloads.unwrap_or_default());
    let items = numbers.unwrap_or_default().split(';').filter(|item| !item.is_empty());
    items
        .map(|item| unpack_one(item, &mut names, &mut payloads, enforcement).ok_or(corrupt("delivery")))
        .collect()
}

fn unpack_one<'r>(
    numbers: &str,
    names: &mut &'r [u8],
    payloads: &mut &'r [u8],
    enforcement: Enforcement,
) -> Option<Item<'r>> {
    let mut numbers = numbers.split(' ').map(|number| number.parse::<i64>().ok());
    let mut next = || numbers.next().flatten();
    let (sequence, fence, attempts, next_at) = (next()?, next()?, next()?, next()?);
    let (is_ordered, is_sealed, disclosure) = (next()? != 0, next()? != 0, disclosure(next()?, enforcement));
    let (enqueued_at, id, content_type, payload) = (next()?, next()?, next()?, next()?);
    let message = if id < 0 || content_type < 0 || payload < 0 {
        None
    } else {
        let take = |from: &mut &'r [u8], len: i64| {
            let (taken, rest) = from.split_at_checked(usize::try_from(len).ok()?)?;
            *from = rest;
            Some(taken)
        };
        let (id, content_type) = (take(names, id)?, take(names, content_type)?);
        Some(StoredMessage { enqueued_at, id, content_type, payload: take(payloads, payload)? })
    };
    Some(Item { sequence, fence, attempts, next_at, is_ordered, is_sealed, disclosure, message })
}
