//! Files that nobody else on the machine may read.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a file with the right to read and write for the owner alone, where it is made. What is there and is no file is
/// refused: a pipe would never answer, a device never end.
#[cfg(any(feature = "key-store", feature = "sqlite"))]
pub(crate) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    open_file(options, path)
}

/// The same for a file that this crate named: a link in its place would lead what is written to somebody else's file.
pub(crate) fn open_own(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    open_file(options, path)
}

fn open_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
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
        super::open(OpenOptions::new().write(true).create(true).truncate(false), path).map(drop)
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
