//! Where files are put.

use tempfile::TempDir;

use crate::measure::Failure;

/// A directory beside the executable, gone when dropped: the system's temporary directory may not be on a disk, and
/// all sides are to write to the same one.
pub(crate) fn directory(name: &str) -> Result<TempDir, Failure> {
    let executable = std::env::current_exe()?;
    let beside = executable.parent().ok_or("the executable is nowhere")?;
    Ok(tempfile::Builder::new().prefix(&format!("peers-{name}-")).tempdir_in(beside)?)
}
