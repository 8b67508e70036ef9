//! How a command fails: what was wrong, where, what to do about it, and an exit code by kind.

use std::{fmt, io, path::Path};

use cowl::Error;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::DeviceError;

/// Kinds of failure; the numbers are the exit codes and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Anything else.
    Other = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// A file, pool, layer or attachment that does not exist.
    NotFound = 3,
    /// The pool (or the file system below it) is full.
    NoSpace = 4,
    /// Something on the device is not what was written there.
    Damage = 5,
    /// Somebody else has it open.
    Busy = 6,
    /// It could be done but would destroy or contradict something.
    Refused = 7,
    /// The operating system reported an error.
    Io = 8,
    /// A tool, a device or a right that this needs is not there.
    Missing = 9,
    /// Stopped by Ctrl-C or a termination signal.
    Interrupted = 130,
}

/// A failure, told to a person.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// Its kind.
    pub kind: Kind,
    /// What was wrong, and where.
    pub what: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without advice.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), hint: None }
    }

    /// Adds advice.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Puts what was being attempted in front.
    #[must_use]
    pub fn during(self, action: impl fmt::Display) -> Self {
        Self { what: format!("{action}: {}", self.what), ..self }
    }

    /// A failed call of the operating system on a file that is not the pool.
    pub fn file(action: &str, path: &Path, error: &io::Error) -> Self {
        Self::new(io_kind(error.kind()), format!("cannot {action} {}: {error}", path.display()))
    }

    /// The failure as the last line of a command under `--json`.
    pub fn to_json(&self) -> serde_json::Value {
        json!({ "error": { "kind": format!("{:?}", self.kind), "code": self.kind as u8, "what": self.what, "hint": self.hint } })
    }
}

fn io_kind(kind: io::ErrorKind) -> Kind {
    match kind {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::NoSpace,
        io::ErrorKind::AlreadyExists => Kind::Refused,
        io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory => Kind::Usage,
        _ => Kind::Io,
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        let failure = Self::new(if error.is_busy() { Kind::Busy } else { io_kind(error.kind()) }, error.to_string());
        match failure.kind {
            Kind::Busy => failure
                .hint("wait until the other command has ended; a pool has one user at a time, readers can share it"),
            Kind::NotFound => failure.hint("check the path; `cowl format PATH --size SIZE` makes a new pool"),
            Kind::NoSpace => failure.hint("make room on the file system that holds the pool's file"),
            _ => failure,
        }
    }
}

impl From<Error<DeviceError>> for Failure {
    fn from(error: Error<DeviceError>) -> Self {
        let text = error.to_string();
        let (kind, hint) = match error {
            Error::Device(error) => return error.into(),
            Error::Poisoned => (
                Kind::Io,
                "run the command again: the pool recovers when it is opened; one that is being served, when it is served again",
            ),
            Error::ReadOnly => (Kind::Refused, "snapshots never change; make a volume from one with `cowl clone`"),
            Error::NotAPool => (Kind::NotFound, "check the path; `cowl format` makes a pool"),
            Error::HoldsPool => (Kind::Refused, "--force formats it all the same; every layer in it is then lost"),
            Error::UnsupportedVersion { .. } | Error::UnsupportedFeatures { .. } => {
                (Kind::Refused, "use the version of cowl that wrote it, or a newer one")
            }
            Error::Corrupt { .. } => {
                (Kind::Damage, "`cowl check POOL --scrub` tells what else is affected; export what can still be read")
            }
            Error::WorkspaceTooSmall { .. } => {
                (Kind::Refused, "give more memory with --workspace, or leave the option out")
            }
            Error::DeviceTooSmall { .. } => (Kind::Refused, "give a larger --size"),
            Error::BadParameter(_) | Error::OutOfRange { .. } | Error::BadName => (Kind::Usage, "see `cowl help VERB`"),
            Error::WrongSectorSize { .. } => {
                (Kind::Refused, "open it on a device whose sectors are of the size that it was made on")
            }
            Error::WrongBase => (Kind::Refused, "give the image that the pool was formatted on with --base"),
            Error::NoSpace { .. } => (
                Kind::NoSpace,
                "delete layers (`cowl what-if` tells which are worth it), run `cowl merge`, or enlarge the pool with `cowl grow`",
            ),
            Error::NoSuchLayer(_) => (Kind::NotFound, "`cowl list POOL` shows the layers"),
            Error::WrongKind(_) => {
                (Kind::Refused, "`cowl list POOL` shows which layers are volumes and which snapshots")
            }
            Error::NameTaken(_) => (Kind::Refused, "choose another name, or rename or delete that layer"),
            Error::Exhausted => (Kind::Refused, "export the layers into a new pool"),
            _ => return Self::new(Kind::Other, text),
        };
        Self::new(kind, text).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cowl::Error;

    use super::{Failure, Kind};

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let code = |error: Error<crate::DeviceError>| Failure::from(error).kind as u8;
        assert_eq!(code(Error::NotAPool), 3);
        assert_eq!(code(Error::NoSpace { missing: 1 }), 4);
        assert_eq!(code(Error::Corrupt { what: cowl::Object::Journal, block: 1 }), 5);
        assert_eq!(code(Error::HoldsPool), 7);
        assert_eq!(Kind::Interrupted as u8, 130);
    }

    #[test]
    fn a_missing_file_is_not_found_and_named() {
        let error = std::fs::File::open("/no/such/file").unwrap_err();
        let failure = Failure::file("read", Path::new("/no/such/file"), &error).during("import");
        assert_eq!(failure.kind, Kind::NotFound);
        assert!(failure.what.contains("/no/such/file") && failure.what.starts_with("import"));
    }
}
