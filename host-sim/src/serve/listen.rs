//! Where clients come to: a socket in the file system, a TCP port, or what whoever started this process listens on already.

use std::{
    fmt, fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            ffi::OsStrExt,
            fs::{FileTypeExt, MetadataExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use listenfd::ListenFd;
use rustix::net::sockopt;

use super::nbd::channel::Socket;
use crate::cli::failure::{Failure, Kind};

/// The port that is registered for NBD.
const PORT: u16 = 10_809;
/// Bytes that the path of a socket can have.
const PATH: usize = 107;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// At a path.
    Unix(PathBuf),
    /// At one of these, the first that works.
    Tcp(Vec<SocketAddr>),
    /// At the socket that this process was started with, as by systemd: `LISTEN_PID` and `LISTEN_FDS` tell of it.
    Given,
}

impl Address {
    /// From `HOST:PORT`, `HOST` or `PORT`; without a host it is the loopback, without a port that of NBD.
    ///
    /// # Errors
    /// The text is none of these, or the host is not known.
    pub fn tcp(text: &str) -> Result<Self, Failure> {
        let wrong = |why: String| {
            Failure::new(Kind::Usage, format!("cannot listen on `{text}`: {why}"))
                .hint("give HOST:PORT, HOST or PORT, as in 127.0.0.1:10809 or [::1]:10809")
        };
        if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
            return Ok(Self::Tcp(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]));
        }
        if let Ok(host) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self::Tcp(vec![SocketAddr::from((host, PORT))]));
        }
        let full = if text.contains(':') { text.to_owned() } else { format!("{text}:{PORT}") };
        let found: Vec<_> = full.to_socket_addrs().map_err(|error| wrong(error.to_string()))?.collect();
        if found.is_empty() { Err(wrong("the host has no address".into())) } else { Ok(Self::Tcp(found)) }
    }

    /// This process was started with sockets that are meant for it.
    pub fn is_given() -> bool {
        let meant = std::env::var("LISTEN_PID").ok().and_then(|process| process.parse().ok());
        meant == Some(std::process::id()) && std::env::var_os("LISTEN_FDS").is_some()
    }

    /// Only processes of this host can reach it. Of a socket that was [given](Self::Given) the [listener](Listener::is_local) knows.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Given => true,
            Self::Tcp(addresses) => addresses.iter().all(|address| address.ip().is_loopback()),
        }
    }
}

/// A socket to which clients connect. One that this process has made in the file system is removed when this is dropped.
#[derive(Debug)]
pub struct Listener {
    kind: Listening,
}

#[derive(Debug)]
enum Listening {
    /// `inode`: of what is to be removed.
    Unix {
        listener: UnixListener,
        path: PathBuf,
        inode: Option<u64>,
    },
    Tcp(TcpListener),
}

impl Listener {
    /// Begins to listen.
    ///
    /// # Errors
    /// Somebody else does, the path is too long, or the system refuses.
    pub fn bind(address: &Address) -> Result<Self, Failure> {
        let kind = match address {
            Address::Unix(path) => bind_path(path)?,
            Address::Tcp(addresses) => bind_port(addresses)?,
            Address::Given => given()?,
        };
        let ready = match &kind {
            Listening::Unix { listener, .. } => listener.set_nonblocking(true),
            Listening::Tcp(listener) => listener.set_nonblocking(true),
        };
        ready.map_err(|error| Failure::new(Kind::Io, format!("cannot listen: {error}")))?;
        Ok(Self { kind })
    }

    /// Only processes of this host can reach it.
    pub fn is_local(&self) -> bool {
        match &self.kind {
            Listening::Unix { .. } => true,
            Listening::Tcp(listener) => listener.local_addr().is_ok_and(|address| address.ip().is_loopback()),
        }
    }

    /// The next client; `None` if there is none now.
    ///
    /// # Errors
    /// The system's.
    pub fn accept(&self) -> io::Result<Option<Socket>> {
        let accepted = match &self.kind {
            Listening::Unix { listener, .. } => listener.accept().map(|(socket, _)| Socket::Unix(socket)),
            Listening::Tcp(listener) => listener.accept().and_then(|(socket, _)| {
                socket.set_nodelay(true)?;
                // A host that has vanished gives back its place in the end.
                sockopt::set_socket_keepalive(&socket, true)?;
                Ok(Socket::Tcp(socket))
            }),
        };
        match accepted {
            Ok(socket) => Ok(Some(socket)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// The URI of an export of this name.
    pub fn uri(&self, encrypted: bool, name: &str) -> String {
        let scheme = if encrypted { "nbds" } else { "nbd" };
        let name = Escaped(name.as_bytes());
        match &self.kind {
            Listening::Unix { path, .. } => {
                format!("{scheme}+unix:///{name}?socket={}", Escaped(path.as_os_str().as_bytes()))
            }
            Listening::Tcp(listener) => match listener.local_addr() {
                Ok(address) => format!("{scheme}://{address}/{name}"),
                Err(_) => format!("{scheme}://?/{name}"),
            },
        }
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix { listener, .. } => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.kind.as_fd()
    }
}

impl Drop for Listener {
    /// Removes the socket, unless somebody has put another one there.
    fn drop(&mut self) {
        if let Listening::Unix { path, inode: Some(inode), .. } = &self.kind
            && fs::symlink_metadata(path).is_ok_and(|found| found.ino() == *inode)
        {
            // The directory may be gone.
            let _ = fs::remove_file(path);
        }
    }
}

fn bind_path(path: &Path) -> Result<Listening, Failure> {
    let length = path.as_os_str().len();
    if length > PATH {
        return Err(Failure::new(
            Kind::Usage,
            format!("cannot listen on {}: the path has {length} bytes, a socket's can have {PATH}", path.display()),
        )
        .hint("give a shorter one with --socket; a relative one will do"));
    }
    remove_stale(path)?;
    let failed = |error: io::Error| Failure::file("listen on", path, &error);
    let listener = UnixListener::bind(path).map_err(failed)?;
    let inode = Some(fs::symlink_metadata(path).map_err(failed)?.ino());
    Ok(Listening::Unix { listener, path: path.to_owned(), inode })
}

/// Removes a socket that nobody listens on: a server that was killed has left it.
fn remove_stale(path: &Path) -> Result<(), Failure> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    let occupied = |kind, why: &str| Failure::new(kind, format!("cannot listen on {}: {why}", path.display()));
    if !found.file_type().is_socket() {
        return Err(
            occupied(Kind::Refused, "there is something else at that path").hint("give another one with --socket")
        );
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| Failure::file("remove the old socket", path, &error))
        }
        Ok(_) => {
            Err(occupied(Kind::Busy, "another server does").hint("stop that one, or give another path with --socket"))
        }
        Err(error) => Err(occupied(Kind::Busy, &format!("whether another server does cannot be told: {error}"))
            .hint("give another path with --socket")),
    }
}

fn bind_port(addresses: &[SocketAddr]) -> Result<Listening, Failure> {
    TcpListener::bind(addresses).map(Listening::Tcp).map_err(|error| {
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let kind = if error.kind() == io::ErrorKind::AddrInUse { Kind::Busy } else { Kind::Io };
        Failure::new(kind, format!("cannot listen on {}: {error}", shown.join(", ")))
            .hint("give another address or port with --tcp")
    })
}

/// The one socket that this process was started with.
fn given() -> Result<Listening, Failure> {
    let mut sockets = ListenFd::from_env();
    let unusable = |why: String| {
        Failure::new(Kind::Usage, format!("the sockets that this process was started with cannot be served: {why}"))
            .hint("hand over one socket that listens, of a path or of TCP (LISTEN_FDS=1)")
    };
    if sockets.len() != 1 {
        return Err(unusable(format!("there are {}", sockets.len())));
    }
    let listening = match sockets.take_unix_listener(0) {
        Ok(Some(listener)) => {
            let path = listener.local_addr().ok().and_then(|address| address.as_pathname().map(Path::to_owned));
            Listening::Unix { listener, path: path.unwrap_or_default(), inode: None }
        }
        _ => match sockets.take_tcp_listener(0) {
            Ok(Some(listener)) => Listening::Tcp(listener),
            Ok(None) => return Err(unusable("it is taken".into())),
            Err(error) => return Err(unusable(error.to_string())),
        },
    };
    if sockopt::socket_acceptconn(&listening).unwrap_or(false) {
        Ok(listening)
    } else {
        Err(unusable("it does not listen".into()))
    }
}

/// Bytes as they stand in a URI.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            if byte.is_ascii_alphanumeric() || b"-._~/".contains(byte) {
                write!(f, "{}", char::from(*byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::{Address, Escaped, Listener};

    fn tcp(text: &str) -> String {
        match Address::tcp(text) {
            Ok(Address::Tcp(found)) => found[0].to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn without_a_host_it_is_the_loopback_and_without_a_port_that_of_nbd() {
        assert_eq!(tcp("7000"), "127.0.0.1:7000");
        assert_eq!(tcp(":7000"), "127.0.0.1:7000");
        assert_eq!(tcp("10.0.0.1"), "10.0.0.1:10809");
        assert_eq!(tcp("::1"), "[::1]:10809");
        assert_eq!(tcp("[::1]:7"), "[::1]:7");
        assert!(Address::tcp("no port:here:").is_err() && Address::tcp("").is_err());
    }

    #[test]
    fn only_loopback_is_local() {
        let local = |text| Address::tcp(text).unwrap().is_local();
        assert!(local("7000") && local("127.8.8.8:1") && local("[::1]:1"));
        assert!(!local("0.0.0.0:1") && !local("[::]:1") && !local("192.0.2.1"));
    }

    #[test]
    fn a_socket_that_nobody_listens_on_is_replaced_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let bind = |path: &Path| Listener::bind(&Address::Unix(path.to_owned()));
        let first = bind(&path).unwrap();
        assert_eq!(bind(&path).unwrap_err().kind as u8, 6);
        drop(first);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left by one that was killed");
        drop(bind(&path).unwrap());
        fs::write(&path, "a file").unwrap();
        assert_eq!(bind(&path).unwrap_err().kind as u8, 7);
        assert_eq!(fs::read(&path).unwrap(), b"a file");
        assert_eq!(bind(&dir.path().join("n".repeat(120))).unwrap_err().kind as u8, 2);
    }

    #[test]
    fn what_a_uri_cannot_hold_is_escaped() {
        assert_eq!(Escaped("a b/ü?".as_bytes()).to_string(), "a%20b/%C3%BC%3F");
    }
}
