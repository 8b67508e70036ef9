//! `cowl serve`: a pool as network block devices.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use cowl::{LayerId, LayerKind};
use serde::Serialize;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use super::super::{
    failure::{Failure, Kind},
    interrupt, select,
    ui::{Report, Style, Ui},
};
use crate::serve::{
    self, Options, Server, control, listen::Address, merger::Merger, nbd::protocol::STRING_LIMIT, room::WhenFull,
    shared::Shared,
};

/// Names that are shown when the server starts.
const SHOWN: usize = 20;
/// Where the level of the log comes from if it is not given.
const LOG: &str = "COWL_LOG";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl serve p.cowl
  cowl serve p.cowl --socket vm.sock --export root=vm
  cowl serve p.cowl --tcp 0.0.0.0 --tls-certificates /etc/cowl/pki
  cowl serve p.cowl --read-only --log debug
  nbdcopy -- [ cowl serve p.cowl --export =before-upgrade ] backup.img

Then, with what it prints:
  nbdinfo --list 'nbd+unix:///?socket=p.cowl.nbd'
  nbdcopy 'nbd+unix:///before-upgrade?socket=p.cowl.nbd' backup.img
  qemu-system-x86_64 -drive 'file=nbd+unix:///vm?socket=p.cowl.nbd,format=raw,if=virtio,discard=unmap' …

Every volume and every snapshot is an export by its name; the empty name is the only volume, if there is just one. SIGTERM and \
Ctrl-C end it; whatever ends it, what clients have flushed is there. Started with a socket that listens (systemd's socket units, \
libnbd's tools with [ … ]), it serves that one.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// Listen on a socket at this path; default: the pool's path with `.nbd` behind it
    #[arg(long, value_name = "PATH", conflicts_with = "tcp")]
    socket: Option<PathBuf>,
    /// Listen on a TCP address: HOST:PORT, HOST or PORT; other hosts than this one need --tls-certificates
    #[arg(long, value_name = "ADDRESS")]
    tcp: Option<String>,
    /// Serve a layer under another name too; may be given several times
    #[arg(long = "export", value_name = "NAME=LAYER")]
    exports: Vec<String>,
    /// Refuse writes, and let other commands read the pool meanwhile
    #[arg(long)]
    read_only: bool,
    /// Clients have to use TLS: a directory with server-cert.pem and server-key.pem, and ca-cert.pem if they need certificates
    #[arg(long, value_name = "DIR")]
    tls_certificates: Option<PathBuf>,
    /// Seconds that a client may stall within a request or a reply, or take for its handshake (at most 10)
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    patience: u64,
    /// Connections at a time, at most
    #[arg(long, value_name = "COUNT", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: u32,
    /// What becomes of writes while the file system of the pool's file is full
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    when_full: WhenFull,
    /// What is logged to standard error: error, warn, info, debug or trace, or by module as in `cowl_host::serve=debug`; default:
    /// what `COWL_LOG` says, else info
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

#[derive(Debug, Serialize)]
struct Serving {
    pool: PathBuf,
    uri: String,
    read_only: bool,
    exports: Vec<Export>,
}

#[derive(Debug, Serialize)]
struct Export {
    name: String,
    uri: String,
}

impl Report for Serving {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        let access = if self.read_only { " read-only" } else { "" };
        writeln!(out, "serving {}{access} at {}", self.pool.display(), self.uri)?;
        for export in self.exports.iter().take(SHOWN) {
            writeln!(out, "  {:16} {}", export.name, export.uri)?;
        }
        match self.exports.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(out, "  and {more} more"),
        }
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    log_to_stderr(args.log.clone().or_else(|| std::env::var(LOG).ok()).as_deref())?;
    let mut pool = serve::open::open(ui, &args.pool, args.read_only)?;
    let mut aliases = BTreeMap::new();
    for text in &args.exports {
        let (name, layer) = alias(&mut pool, text)?;
        if aliases.insert(name.to_owned(), layer).is_some() {
            return Err(Failure::new(Kind::Usage, format!("--export gives the name `{name}` twice")));
        }
    }
    let address = address(args)?;
    let given = address == Address::Given;
    let options = Options {
        address,
        aliases,
        read_only: args.read_only,
        certificates: args.tls_certificates.clone(),
        patience: Duration::from_secs(args.patience),
        connections: usize::try_from(args.connections).unwrap_or(usize::MAX),
        when_full: args.when_full,
    };
    let shared = Arc::new(Shared::new(pool));
    let server = Server::new(Arc::clone(&shared), &args.pool, options)?;
    end_on_signals(&server)?;
    let company = Company::of(&server, args)?;
    // Whoever handed over the socket knows where it is, and may be using standard output for an answer of its own.
    let shown = if given { Ok(()) } else { serving(&server, args).and_then(|serving| ui.show(&serving)) };
    // Nobody waits for what was never served.
    shown.inspect_err(|_| server.stopper().ask())?;
    let served = server.run();
    company.leave();
    let closed = serve::open::close(shared, &args.pool);
    served.and(closed)
}

/// What works on the pool beside its clients.
struct Company {
    control: control::Listener,
    merger: Option<Merger>,
}

impl Company {
    fn of(server: &Server, args: &Args) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::new(Kind::Io, format!("cannot serve commands: {error}"));
        let service = control::Service {
            shared: Arc::clone(server.shared()),
            clients: Arc::clone(server.clients()),
            merge: Arc::default(),
            metrics: Arc::clone(server.metrics()),
            room: Arc::clone(server.room()),
            checks: Arc::default(),
        };
        let (shared, metrics, merge) = (service.shared.clone(), service.metrics.clone(), service.merge.clone());
        let control = control::Listener::start(&args.pool, service).map_err(failed)?;
        let merger = (!args.read_only).then(|| Merger::start(shared, metrics, merge)).transpose().map_err(failed)?;
        Ok(Self { control, merger })
    }

    fn leave(self) {
        self.control.stop();
        if let Some(merger) = self.merger {
            merger.stop();
        }
    }
}

/// Signals end the server from now on; one that came before does too.
fn end_on_signals(server: &Server) -> Result<(), Failure> {
    let stop = server.stopper();
    stop.on_signals().map_err(|error| Failure::new(Kind::Io, format!("cannot listen to signals: {error}")))?;
    if interrupt::asked() {
        stop.ask();
    }
    Ok(())
}

fn serving(server: &Server, args: &Args) -> Result<Serving, Failure> {
    let names = server.exports()?;
    let exports = names.into_iter().map(|name| Export { uri: server.uri(&name), name }).collect();
    Ok(Serving { pool: args.pool.clone(), uri: server.uri(""), read_only: args.read_only, exports })
}

fn address(args: &Args) -> Result<Address, Failure> {
    if Address::is_given() {
        let chosen = if args.tcp.is_some() { "--tcp" } else { "--socket" };
        return match (&args.tcp, &args.socket) {
            (None, None) => Ok(Address::Given),
            _ => Err(Failure::new(Kind::Usage, format!("{chosen}, and a socket to listen on from the environment"))
                .hint("leave it out, or unset LISTEN_FDS")),
        };
    }
    if let Some(text) = &args.tcp {
        return Address::tcp(text);
    }
    if let Some(path) = &args.socket {
        return Ok(Address::Unix(path.clone()));
    }
    let mut path = OsString::from(&args.pool);
    path.push(".nbd");
    Ok(Address::Unix(path.into()))
}

/// `NAME=LAYER`.
fn alias<'a>(pool: &mut serve::shared::OwnPool, text: &'a str) -> Result<(&'a str, LayerId), Failure> {
    let Some((name, layer)) = text.split_once('=') else {
        return Err(Failure::new(Kind::Usage, format!("--export {text}: it has to be NAME=LAYER")));
    };
    if name.len() > STRING_LIMIT || name.chars().any(char::is_control) {
        return Err(Failure::new(
            Kind::Usage,
            format!("--export {text}: a name has at most {STRING_LIMIT} bytes and no control characters"),
        ));
    }
    let found = select::layer(pool, layer).map_err(|failure| failure.during(format_args!("--export {text}")))?;
    if found.kind == LayerKind::Attachment {
        return Err(Failure::new(Kind::Refused, format!("--export {text}: an attachment is not served"))
            .hint("`cowl export` copies it into a file"));
    }
    Ok((name, found.id))
}

fn log_to_stderr(level: Option<&str>) -> Result<(), Failure> {
    let level = level.unwrap_or("info");
    let filter: Targets = level.parse().map_err(|error| {
        Failure::new(Kind::Usage, format!("`{level}` is no level of the log: {error}"))
            .hint("use error, warn, info, debug or trace")
    })?;
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).with_target(false);
    // Only a second one in the same process could fail, and the first does as well.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Ok(())
}
