//! Files that nobody else on the machine may read.

use std::fs::OpenOptions;

/// With the right to read and write for the owner alone, where the file is made.
pub(crate) fn file(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// What SQLite says of a file.
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite {
    use std::fs::OpenOptions;
    use std::io;
    use std::path::Path;

    /// Makes a file before SQLite opens it, so that nobody else can read it at any time; what SQLite makes beside it has
    /// its rights.
    pub(crate) fn create(path: &Path) -> io::Result<()> {
        super::file(OpenOptions::new().write(true).create(true).truncate(false)).open(path).map(drop)
    }

    /// Somebody else has it open.
    pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
        const BUSY: i32 = 5;
        const LOCKED: i32 = 6;
        matches!(code(error), Some(BUSY | LOCKED))
    }

    /// It is no database, or not whole.
    #[cfg(feature = "key-store")]
    pub(crate) fn is_damaged(error: &sqlx::Error) -> bool {
        const CORRUPT: i32 = 11;
        const NOT_A_DATABASE: i32 = 26;
        matches!(code(error), Some(CORRUPT | NOT_A_DATABASE))
    }

    fn code(error: &sqlx::Error) -> Option<i32> {
        let code = error.as_database_error()?.code()?.parse::<i32>().ok()?;
        // The low byte of an extended result code is the primary one.
        Some(code & 0xff)
    }
}
