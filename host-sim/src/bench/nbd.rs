//! What clients of a server see: cowl beside nbdkit with a plain file, and qemu-nbd, by fio.
//!
//! Servers run on one processor and fio on another, so that nobody's wake-ups are hidden by somebody else's work. In every round
//! each server has its turn; the ratio is that of times for a request, and the processor's time of the server itself is taken from the
//! system's books.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Line, Size, median};
use crate::cli::failure::{Failure, Kind};

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(5);

/// What fio does.
struct Work {
    name: &'static str,
    options: &'static [&'static str],
    /// Of the ratio of times.
    target: f64,
    /// Of the server's time for a request, in microseconds.
    budget: Option<f64>,
    /// So many requests, to places that hold nothing yet; else as many as a second takes.
    first: Option<u32>,
}

const WORKS: [Work; 7] = [
    Work {
        name: "NBD: 4 KiB reads at random, queue depth 16",
        options: &["--rw=randread", "--bs=4k", "--iodepth=16"],
        target: 1.05,
        budget: Some(5.0),
        first: None,
    },
    Work {
        name: "NBD: 4 KiB overwrites at random, queue depth 16",
        options: &["--rw=randwrite", "--bs=4k", "--iodepth=16"],
        target: 1.05,
        budget: Some(5.0),
        first: None,
    },
    Work {
        name: "NBD: 4 KiB overwrites, each flushed",
        options: &["--rw=randwrite", "--bs=4k", "--iodepth=1", "--fsync=1"],
        target: 1.11,
        budget: None,
        first: None,
    },
    Work {
        name: "NBD: 4 KiB first writes at random, queue depth 16",
        options: &["--rw=randwrite", "--bs=4k", "--iodepth=16"],
        target: 1.11,
        budget: None,
        first: Some(30_000),
    },
    Work {
        name: "NBD: 4 KiB first writes, each flushed",
        options: &["--rw=randwrite", "--bs=4k", "--iodepth=1", "--fsync=1"],
        target: 1.11,
        budget: None,
        first: Some(3_000),
    },
    Work {
        name: "NBD: 1 MiB reads in order, queue depth 4",
        options: &["--rw=read", "--bs=1m", "--iodepth=4"],
        target: 1.05,
        budget: None,
        first: None,
    },
    Work {
        name: "NBD: 1 MiB writes in order, queue depth 4",
        options: &["--rw=write", "--bs=1m", "--iodepth=4"],
        target: 1.05,
        budget: None,
        first: None,
    },
];

/// A server that runs, and how to reach it.
struct Server {
    name: &'static str,
    child: Child,
    uri: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It holds nothing that is needed again.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One run of fio against one server.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Nanoseconds for a request, as the client sees it.
    time: f64,
    /// Nanoseconds of the server's processor for a request.
    processor: f64,
}

/// Tools that are not installed here.
pub fn missing() -> Vec<&'static str> {
    ["fio", "nbdkit", "taskset"].into_iter().filter(|tool| !is_installed(tool)).collect()
}

fn is_installed(tool: &str) -> bool {
    Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// All that fio does, on cowl and its peers; `program` is the command `cowl`.
///
/// # Errors
/// A server does not start, or fio fails.
pub fn measure(dir: &Path, size: Size, program: &Path) -> Result<Vec<Line>, Failure> {
    let folder = tempfile::tempdir_in(dir).map_err(|error| Failure::file("create a folder in", dir, &error))?;
    with_files(folder.path(), size, program)
}

fn with_files(dir: &Path, size: Size, program: &Path) -> Result<Vec<Line>, Failure> {
    let (plain, pool) = (&dir.join("plain.raw"), &dir.join("pool.cowl"));
    let bytes = vec![7; usize::try_from(size.volume).unwrap_or(0)];
    fs::write(plain, bytes).map_err(|error| Failure::file("write", plain, &error))?;
    let volume = size.volume.to_string();
    let room = (size.volume * 2 + (1 << 30)).to_string();
    cowl(program, &["format", &text(pool)?, "--size", &room])?;
    cowl(program, &["create", &text(pool)?, "vm", "--size", &volume])?;
    cowl(program, &["import", &text(pool)?, "vm", &text(plain)?])?;
    let mut servers = vec![serve_pool(dir, program, pool)?, serve_plain(dir, plain)?];
    if is_installed("qemu-nbd") {
        servers.push(serve_by_qemu(dir, plain)?);
    }
    let mut lines = Vec::new();
    for work in &WORKS {
        lines.extend(compare(work, &servers, size)?);
    }
    Ok(lines)
}

fn text(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::new(Kind::Usage, format!("{} is not UTF-8", path.display())))
}

fn cowl(program: &Path, arguments: &[&str]) -> Result<(), Failure> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| Failure::file("start", program, &error))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Failure::new(Kind::Other, format!("cowl {}: {why}", arguments.join(" "))))
}

fn serve_pool(dir: &Path, program: &Path, pool: &Path) -> Result<Server, Failure> {
    let socket = dir.join("cowl.sock");
    let program = text(program)?;
    let words = [program, "serve".into(), text(pool)?, "--socket".into(), text(&socket)?];
    start("cowl", &words, &socket, "vm")
}

fn serve_plain(dir: &Path, plain: &Path) -> Result<Server, Failure> {
    let socket = dir.join("nbdkit.sock");
    let words = ["nbdkit".into(), "-f".into(), "-U".into(), text(&socket)?, "file".into(), text(plain)?];
    start("nbdkit", &words, &socket, "")
}

fn serve_by_qemu(dir: &Path, plain: &Path) -> Result<Server, Failure> {
    let socket = dir.join("qemu.sock");
    let file = text(plain)?;
    let words =
        ["qemu-nbd", "-f", "raw", "--persistent", "--shared=8", "--discard=unmap", "-k", &text(&socket)?, &file];
    let words = words.map(str::to_owned);
    start("qemu-nbd", &words, &socket, "")
}

/// Starts a server on the first processor.
fn start(name: &'static str, words: &[String], socket: &Path, export: &str) -> Result<Server, Failure> {
    let mut command = Command::new("taskset");
    let child = command.args(["-c", "0"]).args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.map_err(|error| Failure::file("start", Path::new(name), &error))?;
    let server = Server { name, child, uri: format!("nbd+unix:///{export}?socket={}", text(socket)?) };
    let began = Instant::now();
    while !socket.exists() {
        if began.elapsed() > PATIENCE {
            return Err(Failure::new(Kind::Other, format!("{name} does not listen at {}", socket.display())));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(server)
}

/// Every server in turn, round by round.
fn compare(work: &Work, servers: &[Server], size: Size) -> Result<Vec<Line>, Failure> {
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); servers.len()];
    for round in 0..=size.rounds {
        for (server, runs) in servers.iter().zip(&mut runs) {
            let run = fio(work, server, size)?;
            if round > 0 {
                runs.push(run);
            }
        }
    }
    let times = |i: usize| -> Vec<f64> { runs[i].iter().map(|run| run.time).collect() };
    let ours = times(0);
    let mut lines = Vec::new();
    for (i, server) in servers.iter().enumerate().skip(1) {
        let theirs = times(i);
        let mut ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
        lines.push(Line {
            what: format!("{}, {}", work.name, server.name),
            ours: median(&mut ours.clone()),
            other: Some(median(&mut theirs.clone())),
            unit: "ns",
            ratio: median(&mut ratios),
            target: (i == 1).then_some(work.target),
        });
    }
    if let Some(budget) = work.budget {
        let processor = |i: usize| median(&mut runs[i].iter().map(|run| run.processor / 1000.0).collect::<Vec<_>>());
        let (ours, other) = (processor(0), processor(1));
        lines.push(Line {
            what: format!("{}, server", work.name),
            ours,
            other: Some(other),
            unit: "µs",
            ratio: ours / other,
            target: Some(budget / other),
        });
    }
    Ok(lines)
}

fn fio(work: &Work, server: &Server, size: Size) -> Result<Run, Failure> {
    let length = match work.first {
        // Each place once.
        Some(requests) => {
            started(server, size, &["--rw=trim", "--bs=4m", "--iodepth=1"])?;
            vec![format!("--number_ios={requests}")]
        }
        None => ["--time_based", "--runtime=1", "--norandommap"].map(str::to_owned).to_vec(),
    };
    let before = processor_time(server.child.id())?;
    let options: Vec<&str> = work.options.iter().copied().chain(length.iter().map(String::as_str)).collect();
    let job = started(server, size, &options)?;
    let spent = processor_time(server.child.id())?.saturating_sub(before);
    let side = if work.options[0].contains("read") { &job["read"] } else { &job["write"] };
    let (requests, time) = (side["total_ios"].as_f64().unwrap_or(0.0), side["runtime"].as_f64().unwrap_or(0.0));
    if requests < 1.0 {
        return Err(Failure::new(Kind::Other, format!("fio on {}: no request was made", server.name)));
    }
    Ok(Run { time: time * 1e6 / requests, processor: spent.as_secs_f64() * 1e9 / requests })
}

/// Runs fio on the second processor: what it says of its job.
fn started(server: &Server, size: Size, options: &[&str]) -> Result<Value, Failure> {
    let output = Command::new("taskset")
        .args(["-c", "1", "fio", "--name=bench", "--ioengine=nbd", "--output-format=json", "--randrepeat=1"])
        .arg(format!("--uri={}", server.uri))
        .arg(format!("--size={}", size.volume))
        .args(options)
        .output()
        .map_err(|error| Failure::file("start", Path::new("fio"), &error))?;
    let wrong = |what: String| Failure::new(Kind::Other, format!("fio on {}: {what}", server.name));
    let told = &output.stdout;
    // Remarks come before the figures.
    let begin = told.iter().position(|byte| *byte == b'{').unwrap_or(0);
    let mut figures: Value = serde_json::from_slice(&told[begin..])
        .map_err(|error| wrong(format!("{error}: {}", String::from_utf8_lossy(&output.stderr))))?;
    let job = figures["jobs"][0].take();
    if job["error"].as_u64() != Some(0) {
        return Err(wrong(format!("error {}: {}", job["error"], String::from_utf8_lossy(&output.stderr))));
    }
    Ok(job)
}

/// The processor's time that a process has taken, from `/proc`.
fn processor_time(process: u32) -> Result<Duration, Failure> {
    let path = PathBuf::from(format!("/proc/{process}/stat"));
    let stat = fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
    // The name in brackets may hold anything. User and system time are the 14th and 15th field of all, the 12th and 13th behind it.
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}
