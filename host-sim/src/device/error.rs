//! What can go wrong with a file or a block device: which one, doing what, where, and what the system said.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// An error of the operating system, with the place where it happened. `Debug` is meant to be read by people too:
/// the core shows a device's error by it.
pub struct DeviceError {
    action: &'static str,
    path: PathBuf,
    range: Option<(u64, u64)>,
    busy: bool,
    source: io::Error,
}

impl DeviceError {
    pub(crate) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self { action, path: path.to_owned(), range: None, busy: false, source }
    }

    pub(crate) fn other(action: &'static str, path: &Path, text: impl Into<String>) -> Self {
        Self::new(action, path, io::Error::other(text.into()))
    }

    pub(crate) fn unusable(path: &Path, text: &'static str) -> Self {
        Self::new("open", path, io::Error::new(io::ErrorKind::InvalidInput, text))
    }

    pub(crate) fn busy(path: &Path, text: impl Into<String>) -> Self {
        Self { busy: true, ..Self::other("open", path, text) }
    }

    pub(crate) fn at(self, offset: u64, length: u64) -> Self {
        Self { range: Some((offset, length)), ..self }
    }

    /// The file or block device.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Somebody else has the device open.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// There is no room on the file system, or in somebody's quota.
    pub fn is_full(&self) -> bool {
        matches!(self.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// The kind of the system's error.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.action, self.path.display())?;
        if let Some((offset, length)) = self.range {
            write!(f, " ({length} bytes at {offset})")?;
        }
        write!(f, ": {}", self.source)
    }
}

impl fmt::Debug for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for DeviceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
