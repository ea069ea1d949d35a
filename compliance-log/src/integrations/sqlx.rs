//! Which columns of a row changed, and of which class they are. Never what they held or hold.
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use compliance_core::class::DataClass;
//! use compliance_core::{clock::Timestamp, event::Actor, purpose};
//! use compliance_log::audit::record::{Circumstances, DataAccess};
//! use compliance_log::integrations::sqlx::Columns;
//! use sqlx::{Connection, SqliteConnection};
//!
//! const CUSTOMER: Columns = Columns::new(&[
//!     ("id", DataClass::Internal),
//!     ("email", DataClass::Personal),
//!     ("diagnosis", DataClass::Sensitive),
//! ]);
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! # let mut connection = SqliteConnection::connect("sqlite::memory:").await?;
//! # sqlx::query("CREATE TABLE customer (id, email, diagnosis)").execute(&mut connection).await?;
//! # sqlx::query("INSERT INTO customer VALUES (1, 'anna@example.com', NULL)").execute(&mut connection).await?;
//! // In the transaction that changes it.
//! let before = sqlx::query("SELECT * FROM customer WHERE id = 1").fetch_one(&mut connection).await?;
//! sqlx::query("UPDATE customer SET email = 'anna@example.org' WHERE id = 1").execute(&mut connection).await?;
//! let after = sqlx::query("SELECT * FROM customer WHERE id = 1").fetch_one(&mut connection).await?;
//!
//! let changed = CUSTOMER.changed(&before, &after)?;
//! assert_eq!(changed.columns(), ["email"]);
//! assert_eq!(changed.highest(), Some(DataClass::Personal));
//! let by = Circumstances::new(Actor::System, Timestamp::UNIX_EPOCH);
//! let event = DataAccess::updated(&by, "customer", purpose!("contract.service")).changed(&changed).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })
//! # }
//! # #[cfg(not(feature = "sqlite"))]
//! # fn main() {}
//! ```

use compliance_core::class::{DataClass, Internal};

use crate::audit::record::DataAccess;

mod row {
    /// Type and bytes; `None` for NULL.
    pub(super) type Stored = Option<(String, Vec<u8>)>;

    #[expect(unnameable_types, reason = "sealed: how values are compared is decided here")]
    pub trait Row {
        fn names(&self) -> Vec<&str>;

        /// The value of a column as the database gave it; `None` when it cannot be read.
        fn stored(&self, name: &str) -> Option<Stored>;
    }

    #[cfg(feature = "sqlite")]
    impl Row for sqlx::sqlite::SqliteRow {
        fn names(&self) -> Vec<&str> {
            use sqlx::{Column as _, Row as _};
            self.columns().iter().map(|column| column.name()).collect()
        }

        fn stored(&self, name: &str) -> Option<Stored> {
            use sqlx::{Decode, Row as _, TypeInfo as _, ValueRef as _};
            let value = self.try_get_raw(name).ok()?;
            if value.is_null() {
                return Some(None);
            }
            let kind = value.type_info().name().to_owned();
            let bytes = <Vec<u8> as Decode<'_, sqlx::Sqlite>>::decode(value).ok()?;
            Some(Some((kind, bytes)))
        }
    }

    #[cfg(feature = "postgres")]
    impl Row for sqlx::postgres::PgRow {
        fn names(&self) -> Vec<&str> {
            use sqlx::{Column as _, Row as _};
            self.columns().iter().map(|column| column.name()).collect()
        }

        fn stored(&self, name: &str) -> Option<Stored> {
            use sqlx::{Row as _, TypeInfo as _, ValueRef as _};
            let value = self.try_get_raw(name).ok()?;
            if value.is_null() {
                return Some(None);
            }
            let kind = format!("{} {:?}", value.type_info().name(), value.format());
            Some(Some((kind, value.as_bytes().ok()?.to_vec())))
        }
    }
}

/// A row of SQLite (feature `sqlite`) or PostgreSQL (feature `postgres`).
pub trait TableRow: row::Row {}

impl<R: row::Row> TableRow for R {}

/// The columns of a table, each with its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns(&'static [(&'static str, DataClass)]);

impl Columns {
    /// Declares them. Every column of the rows that are compared must be among them.
    #[must_use]
    pub const fn new(columns: &'static [(&'static str, DataClass)]) -> Self {
        Self(columns)
    }

    /// Which columns hold something else after than before. Values are compared as the database gave them, type and
    /// bytes; fetch both rows in the same way.
    ///
    /// # Errors
    /// [`ChangesError`]: `changes.undeclared` when a row has a column that was not declared, for what is not declared
    /// would change unseen; `changes.missing` when a declared one is in one row and not in the other;
    /// `changes.unreadable`.
    pub fn changed<R: TableRow>(&self, before: &R, after: &R) -> Result<Changed, ChangesError> {
        let (names_before, names_after) = (before.names(), after.names());
        for names in [&names_before, &names_after] {
            let is_declared = |name: &str| self.0.iter().any(|(declared, _)| *declared == name);
            if let Some(at) = names.iter().position(|name| !is_declared(name)) {
                return Err(ChangesError::Undeclared { at });
            }
        }
        let mut changed = Changed::default();
        for (name, class) in self.0 {
            match (names_before.contains(name), names_after.contains(name)) {
                (false, false) => {}
                (true, true) => {
                    let stored = |row: &R| row.stored(name).ok_or(ChangesError::Unreadable { name });
                    if stored(before)? != stored(after)? {
                        changed.columns.push(*name);
                        changed.classes.push(*class);
                    }
                }
                _ => return Err(ChangesError::Missing { name }),
            }
        }
        Ok(changed)
    }
}

/// The columns that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Changed {
    columns: Vec<&'static str>,
    classes: Vec<DataClass>,
}

impl Changed {
    /// Their names, in the order declared.
    #[must_use]
    pub fn columns(&self) -> &[&'static str] {
        &self.columns
    }

    /// Their classes, in the same order.
    #[must_use]
    pub fn classes(&self) -> &[DataClass] {
        &self.classes
    }

    /// The highest class among them; `None` when nothing changed.
    #[must_use]
    pub fn highest(&self) -> Option<DataClass> {
        self.classes.iter().copied().max()
    }
}

impl DataAccess {
    /// Which fields changed, and of which classes they are: fields `fields` and `classes`.
    #[cfg_attr(compliance_docsrs, doc(cfg(any(feature = "postgres", feature = "sqlite"))))]
    pub fn changed(self, changed: &Changed) -> Self {
        let classes: Vec<_> = changed.classes.iter().map(|class| class.as_str()).collect();
        self.fields(&changed.columns).field("classes", Internal(classes.join(",")))
    }
}

/// Rows could not be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangesError {
    /// A declared column is in one row only.
    #[error("column `{name}` is in one of the rows only")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// A row has a column that was not declared.
    #[error("column {at} of the row was not declared")]
    Undeclared {
        /// Its place in the row, from 0.
        at: usize,
    },
    /// A value could not be read.
    #[error("column `{name}` could not be read")]
    Unreadable {
        /// Its name.
        name: &'static str,
    },
}

impl ChangesError {
    /// `changes.missing`, `changes.undeclared` or `changes.unreadable`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "changes.missing",
            Self::Undeclared { .. } => "changes.undeclared",
            Self::Unreadable { .. } => "changes.unreadable",
        }
    }
}
