//! Several databases asked at once.

use std::collections::HashMap;
use std::sync::Arc;

use super::runs::{NO_RECORD, NOT_PUBLIC, merge};
use super::table::{MAX_VALUE, Table};
use super::{Database, DatabaseError, DatabaseErrorKind, FIRST_PLACE};

/// Whose word counts when several databases have a record for an address.
///
/// A database without a record for the address has no say; an anonymiser database has none on the country.
/// Whatever the rule, an address of which any database says that it hides its users is reviewed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "whoever reports the rule must name each")]
pub enum Quorum {
    /// The strictest word: embargoed when any database says so. The default, since the databases' errors are
    /// independent and only one kind of them is an offence.
    #[default]
    Any,
    /// The first database that has a record, in the order they were given.
    First,
    /// What more than half of those with a say agree on; a review when there is no such majority.
    Majority,
}

/// The tables of several databases laid over one another.
pub(crate) struct Combined {
    pub(crate) table: Arc<Table>,
    // By value, from 2 on: what each database says, in their order.
    said: Vec<Box<[u16]>>,
}

impl Combined {
    /// What each database says of the addresses with this value; nothing for the two values without a place.
    pub(crate) fn said(&self, value: u16) -> &[u16] {
        let position = usize::from(value).checked_sub(FIRST_PLACE);
        position.and_then(|position| self.said.get(position)).map(AsRef::as_ref).unwrap_or_default()
    }

    /// The memory its tables take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let said = self.said.iter().map(|values| size_of_val(&**values));
        said.fold(self.table.bytes().saturating_add(size_of_val(self.said.as_slice())), usize::saturating_add)
    }

    /// How many values the table has.
    pub(crate) fn values(&self) -> u16 {
        u16::try_from(self.said.len().saturating_add(FIRST_PLACE)).unwrap_or(u16::MAX)
    }
}

/// Lays the tables over one another. `None` when there is only one, which then serves as it is.
pub(crate) fn combine(databases: &[Database]) -> Result<Option<Combined>, DatabaseError> {
    if databases.len() < 2 {
        return Ok(None);
    }
    let mut said = Said::default();
    let v4: Vec<_> = databases.iter().map(|database| database.table().runs_v4()).collect();
    let v4 = merge(&v4.iter().map(Vec::as_slice).collect::<Vec<_>>(), |values| said.value(values));
    let v6: Vec<_> = databases.iter().map(|database| database.table().runs_v6()).collect();
    let v6 = merge(&v6.iter().map(Vec::as_slice).collect::<Vec<_>>(), |values| said.value(values));
    if said.overflow {
        return Err(DatabaseErrorKind::TooManyPlaces { limit: usize::from(MAX_VALUE) }.into());
    }
    Ok(Some(Combined { table: Arc::new(Table::new(&v4, &v6)), said: said.list }))
}

#[derive(Default)]
struct Said {
    list: Vec<Box<[u16]>>,
    values: HashMap<Box<[u16]>, u16>,
    overflow: bool,
}

impl Said {
    fn value(&mut self, values: &[u16]) -> u16 {
        // The special blocks are the same in every table.
        if values.contains(&NOT_PUBLIC) {
            return NOT_PUBLIC;
        }
        if values.iter().all(|value| *value == NO_RECORD) {
            return NO_RECORD;
        }
        if let Some(value) = self.values.get(values) {
            return *value;
        }
        let next = u16::try_from(self.list.len().saturating_add(FIRST_PLACE)).ok();
        let Some(value) = next.filter(|value| *value <= MAX_VALUE) else {
            self.overflow = true;
            return NO_RECORD;
        };
        self.list.push(values.into());
        self.values.insert(values.into(), value);
        value
    }
}
