//! A server in a process of its own, and a client that can do anything at all.

// Each test program uses a part of it.
#![allow(dead_code)]

pub mod client;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use client::Client;
use rustix::process::{Pid, Signal, kill_process};

/// Bytes of the volume `vm`.
pub const SIZE: usize = 8 << 20;

/// A directory with a pool in it.
pub struct Bench {
    dir: tempfile::TempDir,
    pool: PathBuf,
}

impl Bench {
    /// With a volume `vm`.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pool = dir.path().join("p.cowl");
        Self::at(dir, pool)
    }

    /// The same with the pool's file elsewhere.
    pub fn at(dir: tempfile::TempDir, pool: PathBuf) -> Self {
        let bench = Self { dir, pool };
        bench.cowl(&["format", &bench.pool(), "--size", "64M"]);
        bench.cowl(&["create", &bench.pool(), "vm", "--size", &SIZE.to_string()]);
        bench
    }

    /// The same commands from now on work on this file.
    pub fn moved_to(mut self, pool: PathBuf) -> Self {
        self.pool = pool;
        self
    }

    pub fn pool(&self) -> String {
        self.pool.display().to_string()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a command that must succeed.
    pub fn cowl(&self, args: &[&str]) -> String {
        let (code, out, err) = self.try_cowl(args);
        assert_eq!(code, Some(0), "{args:?}: {out}{err}");
        out
    }

    pub fn try_cowl(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cowl"));
        let output = command.args(args).current_dir(self.dir.path()).stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// What a layer holds, when no server runs.
    pub fn content(&self, layer: &str) -> Vec<u8> {
        self.cowl(&["export", &self.pool(), layer, "content.img", "--force"]);
        fs::read(self.path("content.img")).unwrap()
    }

    pub fn is_sound(&self) {
        self.cowl(&["check", &self.pool(), "--scrub"]);
    }

    /// Starts a server, and returns when clients can connect.
    pub fn serve(&self, args: &[&str]) -> Server {
        let log = self.path("log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_cowl"))
            .args(["serve", &self.pool()])
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.starts_with("serving"), "{said}{}", fs::read_to_string(&log).unwrap());
        let uri = said.trim().rsplit(' ').next().unwrap().to_owned();
        Server { child, uri, socket: self.path("p.cowl.nbd"), log }
    }
}

/// A running server. It is killed when it is dropped.
pub struct Server {
    child: Child,
    pub uri: String,
    pub socket: PathBuf,
    log: PathBuf,
}

impl Server {
    pub fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).unwrap()
    }

    /// A client in transmission, with chunks.
    pub fn client(&self, name: &str) -> Client<UnixStream> {
        Client::new(self.connect()).structured().go(name)
    }

    /// The URI of an export for other programs.
    pub fn export(&self, name: &str) -> String {
        format!("nbd+unix:///{name}?socket={}", self.socket.display())
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log has this in it.
    pub fn says(&self, text: &str) {
        let end = Instant::now() + Duration::from_secs(10);
        while !self.log().contains(text) {
            assert!(Instant::now() < end, "`{text}` is not in the log: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it by SIGTERM; its status, and how long that took.
    pub fn stop(&mut self) -> (ExitStatus, Duration) {
        self.signal(Signal::TERM);
        let begun = Instant::now();
        let status = self.child.wait().unwrap();
        (status, begun.elapsed())
    }

    /// Ends it by SIGTERM, which must work.
    pub fn ends_well(mut self) {
        let (status, took) = self.stop();
        assert!(status.success(), "{status}: {}", self.log());
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert!(!self.log().contains("panicked"), "{}", self.log());
    }

    /// Ends it by SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it by SIGKILL while something below it does not answer: `free` makes that answer.
    pub fn kill_stuck(mut self, free: impl FnOnce()) {
        self.signal(Signal::KILL);
        free();
        self.child.wait().unwrap();
    }

    /// It has not ended.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a program is there; if not, that is said, or is a failure where everything must be there.
pub fn has(program: &str) -> bool {
    let found = env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(program).is_file());
    if !found {
        lacking(program);
    }
    found
}

/// Says that something is missing.
pub fn lacking(what: &str) {
    assert!(env::var_os("COWL_REQUIRE_ALL").is_none(), "{what} is missing");
    eprintln!("not run: {what} is missing");
}

/// Runs a program that must succeed; what it prints.
pub fn run(dir: &Path, words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).current_dir(dir).stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words:?}: {out}{err}");
    out.into_owned()
}
