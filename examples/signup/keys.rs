//! Secrets that outlive the process. Here they lie in files beside the data, so that the demonstration needs
//! nothing else; a real service keeps them in a key management service, away from what they protect.

use std::fs::OpenOptions;
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
            let mut options = OpenOptions::new();
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.write(true).create_new(true).open(path)?;
            file.write_all(&secret)?;
            file.sync_all()?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(secret)
}
