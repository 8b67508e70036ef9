//! A directory with a pool, perhaps served by this process, and the command to work on it.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use cowl::{BlockDevice, LayerId, MountOptions, Pool};
use cowl_host::{
    FileOptions, HostDevice,
    device::Base,
    serve::{
        clients::Clients,
        control::{Listener, Service},
        merger::{Merger, State},
        metrics::Metrics,
        room::{Room, WhenFull},
        shared::Shared,
    },
};

/// A directory with the pool `p.cowl` in it.
pub struct Bench {
    pub dir: tempfile::TempDir,
}

impl Bench {
    pub fn new(format: &[&str]) -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap() };
        bench.ok(&[&["format", "p.cowl"], format].concat());
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cowl"));
        command.args(args).current_dir(self.dir.path()).env("TZ", "UTC");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    pub fn run(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = self.spawn(args);
        // A command that fails early does not read its input.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args, b"");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(&[args, &["--json"]].concat())).unwrap()
    }

    /// Runs a command that must fail with this exit code, and gives what it says.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args, b"");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.len() > 10 && !said.contains("panicked"), "{args:?}: {said}");
        said
    }

    pub fn write(&self, volume: &str, offset: usize, bytes: &[u8]) {
        let output = self.run(&["write", "p.cowl", volume, "--offset", &offset.to_string()], bytes);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A server in this process. It holds the pool's lock until the process ends.
pub struct Server {
    pub service: Service,
    pub listener: Option<Listener>,
    _merger: Merger,
}

impl Server {
    pub fn start(bench: &Bench) -> Self {
        let path = bench.path("p.cowl");
        let device: &'static mut HostDevice =
            Box::leak(Box::new(HostDevice::open(&path, &FileOptions::new()).unwrap()));
        let base: &'static mut Base = Box::leak(Box::new(Base::None));
        let workspace = vec![0; 4 << 20].leak();
        let options = MountOptions { read_only: false, checksum: cowl_host::crc32c };
        assert!(device.geometry().sectors > 0);
        let shared = Arc::new(Shared::new(Pool::mount_on_base(device, base, workspace, &options).unwrap()));
        let room = Arc::new(Room::new(&path, &shared.lock().info(), WhenFull::Refuse));
        let service = Service {
            room,
            checks: Arc::default(),
            shared,
            clients: Arc::new(Clients::new(8)),
            merge: Arc::new(State::default()),
            metrics: Arc::new(Metrics::new().unwrap()),
        };
        let listener = Some(Listener::start(&path, service.clone()).unwrap());
        let merger = Merger::start(service.shared.clone(), service.metrics.clone(), service.merge.clone());
        Self { service, listener, _merger: merger.unwrap() }
    }

    pub fn id(&self, name: &str) -> LayerId {
        self.service.shared.lock().find(name).unwrap().unwrap().id
    }

    /// A client that goes when it is told to; gives a flag that then says so.
    pub fn client_of(&self, volume: &str) -> Arc<std::sync::Mutex<Option<cowl_host::serve::clients::Ticket>>> {
        let place: Arc<std::sync::Mutex<Option<cowl_host::serve::clients::Ticket>>> = Arc::default();
        let (tell, told) = std::sync::mpsc::channel();
        let ticket = self.service.clients.enter(self.id(volume), move || {
            // Whoever is told twice has gone.
            let _ = tell.send(());
        });
        *place.lock().unwrap() = Some(ticket);
        let leaving = Arc::clone(&place);
        thread::spawn(move || {
            if told.recv().is_ok() {
                drop(leaving.lock().unwrap().take());
            }
        });
        place
    }
}

/// Waits until something is so, for half a minute.
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < end, "never happened: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Bytes that look like data.
pub fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    (0..length).map(next).collect()
}

/// A message as it travels on the control socket.
pub fn message(text: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for length in [text.len(), data.len()] {
        bytes.extend(u32::try_from(length).unwrap().to_le_bytes());
    }
    bytes.extend(text.as_bytes());
    bytes.extend(data);
    bytes
}

/// Makes a copy of the pool's file in another directory.
pub fn twin(of: &Bench) -> Bench {
    let bench = Bench { dir: tempfile::tempdir().unwrap() };
    fs::copy(of.path("p.cowl"), bench.path("p.cowl")).unwrap();
    bench
}
