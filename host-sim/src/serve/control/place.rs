//! Where the control socket of a pool is, and how it is made so that nobody but its owner ever gets in.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, fchmod, major, minor},
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind as bind_to, connect as connect_to, listen,
        socket_with,
    },
};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;
/// Where the sockets of pools on block devices are.
const RUN: &str = "/run/cowl";

/// The control socket of a pool: beside its file, whatever link led there; for a block device under `/run/cowl`, by its number.
///
/// # Errors
/// The pool's path cannot be looked at.
pub fn socket_of(pool: &Path) -> io::Result<PathBuf> {
    let path = fs::canonicalize(pool)?;
    let metadata = fs::metadata(&path)?;
    if metadata.file_type().is_block_device() {
        let device = metadata.rdev();
        return Ok(Path::new(RUN).join(format!("{}-{}.control", major(device), minor(device))));
    }
    let mut name: OsString = path.into_os_string();
    name.push(".control");
    Ok(name.into())
}

/// Makes the socket and listens, in place of one that a dead server has left.
///
/// # Errors
/// Something else is there; the system's.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if path.starts_with(RUN) {
        DirBuilder::new().recursive(true).mode(0o755).create(RUN)?;
    }
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something that is no socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = socket()?;
    // The mode of an unbound socket is that of the file which `bind` makes: there is no moment in which others get in.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    let (address, _directory) = address(path)?;
    bind_to(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

/// Connects to the socket; `None` if nobody listens there.
///
/// # Errors
/// The system's.
pub fn connect(path: &Path) -> io::Result<Option<UnixStream>> {
    let socket = socket()?;
    let reached = address(path).and_then(|(address, _directory)| Ok(connect_to(&socket, &address)?));
    match reached {
        Ok(()) => Ok(Some(UnixStream::from(socket))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

fn socket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// The address of a path. The system takes at most 107 bytes: a longer path is reached through its directory, which must stay open.
fn address(path: &Path) -> io::Result<(SocketAddrUnix, Option<File>)> {
    match SocketAddrUnix::new(path) {
        Ok(address) => return Ok((address, None)),
        Err(Errno::NAMETOOLONG) => {}
        Err(error) => return Err(error.into()),
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let flags = (OFlags::PATH | OFlags::DIRECTORY).bits().cast_signed();
    let directory = OpenOptions::new().read(true).custom_flags(flags).open(parent)?;
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    let address = SocketAddrUnix::new(&short).map_err(|_| {
        let text = format!("the name {} is too long for a socket", Path::new(name).display());
        io::Error::new(io::ErrorKind::InvalidFilename, text)
    })?;
    Ok((address, Some(directory)))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::ErrorKind, os::unix::fs::PermissionsExt, path::Path};

    use super::{bind, connect, socket_of};

    #[test]
    fn the_socket_is_beside_the_pool_and_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (pool, link) = (dir.path().join("p"), dir.path().join("link"));
        fs::write(&pool, b"").unwrap();
        std::os::unix::fs::symlink(&pool, &link).unwrap();
        let path = socket_of(&link).unwrap();
        assert_eq!(path, fs::canonicalize(dir.path()).unwrap().join("p.control"));
        assert!(connect(&path).unwrap().is_none());
        let listener = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(connect(&path).unwrap().is_some());
        drop(listener);
        assert!(connect(&path).unwrap().is_none(), "a dead server's socket is none");
        bind(&path).unwrap();
    }

    #[test]
    fn a_long_path_is_reached_and_a_file_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(100)).join("e".repeat(100));
        fs::create_dir_all(&deep).unwrap();
        let path = deep.join("p.control");
        let _listener = bind(&path).unwrap();
        assert!(connect(&path).unwrap().is_some());
        let file = dir.path().join("q.control");
        fs::write(&file, b"mine").unwrap();
        assert_eq!(bind(&file).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&file).unwrap(), b"mine");
        let long = deep.join("n".repeat(200));
        assert!(bind(Path::new(&long)).unwrap_err().to_string().contains("too long"));
    }
}
