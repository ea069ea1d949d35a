//! Secrets that outlive the process. Here they lie in files beside the data, so that the demonstration needs
//! nothing else; a real service keeps them in a key management service, away from what they protect.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use compliance_core::random::{SecureRandom, SystemRandom};

use crate::Failure;

/// The secret in `path`, made when there is none.
pub(crate) fn load_or_create(path: &Path) -> Result<[u8; 32], Failure> {
    let mut secret = [0; 32];
    match OpenOptions::new().read(true).open(path) {
        Ok(mut file) => file.read_exact(&mut secret)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            SystemRandom.fill(&mut secret)?;
            // Whole or not there at all, whenever the power fails.
            let unfinished = path.with_extension("tmp");
            let mut options = OpenOptions::new();
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.write(true).create(true).truncate(true).open(&unfinished)?;
            file.write_all(&secret)?;
            file.sync_all()?;
            fs::rename(unfinished, path)?;
            if let Some(dir) = path.parent() {
                File::open(dir)?.sync_all()?;
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(secret)
}

/// A folder for this user's eyes only.
pub(crate) fn create_private_dir(path: &Path) -> Result<(), Failure> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    Ok(builder.create(path)?)
}
