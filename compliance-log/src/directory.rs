//! Directories that are there after a crash.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Creates a directory, and those above it, where they are missing, each with its entry synchronised; on Unix with `mode`,
/// of which the process's mask takes its part.
pub(crate) fn create(dir: &Path, mode: u32) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create(parent, mode)?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
    #[cfg(not(unix))]
    let _ = mode;
    match builder.create(dir) {
        // By somebody else, meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        created => created?,
    }
    sync(parent)
}

/// Makes created, renamed and removed files lasting. Windows knows no such call and needs none.
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}
