//! What is mounted where, as `/proc/self/mountinfo` has it, and the tools that change it.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::failure::{Failure, Kind};

/// How long something may stay busy after its last user has gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub directory: PathBuf,
    /// Of what type.
    pub kind: String,
    /// What.
    pub source: String,
}

/// The topmost mount on a directory.
///
/// # Errors
/// The system does not tell.
pub fn on(directory: &Path) -> Result<Option<Mount>, Failure> {
    let path = Path::new("/proc/self/mountinfo");
    let table = fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(parse).rfind(|mount| mount.directory == directory))
}

/// A line: number, parent, device, root, directory, options, any number of fields, `-`, type, source, more options.
fn parse(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let dash = fields.iter().position(|field| *field == b"-")?;
    let text = |index: usize| fields.get(index).map(|field| String::from_utf8_lossy(field).into_owned());
    let directory = PathBuf::from(std::ffi::OsString::from_vec(plain(fields.get(4)?)));
    Some(Mount { directory, kind: text(dash + 1)?, source: text(dash + 2)? })
}

/// Blanks and their like are written as a backslash and three octal digits.
fn plain(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &after[3..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}

/// The file behind a loop device such as `/dev/loop0`; none if it is no loop device.
pub fn file_behind(device: &str) -> Option<PathBuf> {
    let name = device.strip_prefix("/dev/").filter(|name| name.starts_with("loop") && !name.contains('/'))?;
    let bytes = fs::read(format!("/sys/block/{name}/loop/backing_file")).ok()?;
    Some(PathBuf::from(OsStr::from_bytes(bytes.trim_ascii_end())))
}

/// Runs a tool of the system.
///
/// # Errors
/// It is not there, or fails: with what it said.
pub fn run(tool: &str, args: &[&OsStr]) -> Result<(), Failure> {
    let output = Command::new(tool).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        Failure::new(Kind::Missing, format!("cannot run `{tool}`: {error}")).hint("install the tool, and look at PATH")
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::new(Kind::Io, format!("`{tool}` failed: {said}")))
}

/// Unmounts; what is still busy because its last user has just gone is waited for.
///
/// # Errors
/// It stays busy, or the right to unmount is missing.
pub fn unmount(directory: &Path, fuse: bool) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    let alone = fuse && !rustix::process::geteuid().is_root();
    loop {
        let done = if alone {
            run("fusermount3", &[OsStr::new("-u"), OsStr::new("--"), directory.as_os_str()])
        } else {
            run("umount", &[OsStr::new("--"), directory.as_os_str()])
        };
        match done {
            Err(failure) if failure.what.contains("busy") && Instant::now() < end => {
                thread::sleep(Duration::from_millis(100));
            }
            Err(failure) if failure.what.contains("busy") => {
                return Err(Failure { kind: Kind::Busy, ..failure }.hint("close what is open there"));
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Mount, file_behind, on, parse};

    #[test]
    fn lines_of_mountinfo_are_read_with_blanks_in_names() {
        let line = b"36 35 98:0 /mnt1 /mnt/a\\040b rw,noatime master:1 - fuse cowl-77 rw,user_id=0";
        let mount = Mount { directory: "/mnt/a b".into(), kind: "fuse".into(), source: "cowl-77".into() };
        assert_eq!(parse(line), Some(mount));
        assert_eq!(parse(b"36 35 98:0 / /x rw shared:1"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn the_root_is_mounted_and_an_odd_device_is_no_loop() {
        assert!(on(Path::new("/")).unwrap().is_some());
        assert!(on(Path::new("/no/such/directory")).unwrap().is_none());
        assert_eq!((file_behind("/dev/sda"), file_behind("loop0"), file_behind("/dev/loop/../x")), (None, None, None));
    }
}
