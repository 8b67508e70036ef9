//! What the command shows: reports as text or JSON on standard output, progress and failures on standard error.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{
    Globals,
    failure::{Failure, Kind},
};

/// Work that ends before this shows no progress.
const PATIENCE: Duration = Duration::from_millis(700);

/// Something that a verb has to tell: fields for machines, text for people.
pub trait Report: Serialize {
    /// Writes the text.
    ///
    /// # Errors
    /// Those of `out`.
    fn text(&self, style: Style, out: &mut dyn Write) -> io::Result<()>;
}

/// Whether text is coloured.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// The output is a terminal that wants colours.
    pub color: bool,
}

impl Style {
    /// The text in grey: things that are there but no longer matter.
    pub fn dim(self, text: impl fmt::Display) -> String {
        self.wrap("2", text)
    }

    /// The text in bold.
    pub fn bold(self, text: impl fmt::Display) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, code: &str, text: impl fmt::Display) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// The settings that every verb shares, and the way to the screen.
#[derive(Debug)]
pub struct Ui {
    json: bool,
    quiet: bool,
    style: Style,
    /// Memory for the pool, if it was given.
    pub workspace: Option<u64>,
    /// The base image, if it was given.
    pub base: Option<PathBuf>,
}

impl Ui {
    /// From the options of the command line.
    pub fn new(globals: &Globals) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            json: globals.json,
            quiet: globals.quiet,
            style: Style { color: wanted && io::stdout().is_terminal() },
            workspace: globals.workspace,
            base: globals.base.clone(),
        }
    }

    /// Output is for machines.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Prints a report.
    ///
    /// # Errors
    /// Standard output cannot be written; a reader that has gone away is no error.
    pub fn show(&self, report: &impl Report) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let written = if self.json {
            serde_json::to_writer_pretty(&mut out, report).map_err(io::Error::from).and_then(|()| writeln!(out))
        } else {
            report.text(self.style, &mut out)
        };
        settle(written.and_then(|()| out.flush()))
    }

    /// A progress bar that shows itself once the work has taken most of a second.
    pub fn progress(&self, label: &'static str, total: u64, unit: Unit) -> Progress {
        Progress { visible: self.talks(), label, total, unit, started: Instant::now(), bar: None, done: 0 }
    }

    /// A spinner for a call that cannot tell how far it is.
    pub fn spinner(&self, label: &'static str) -> Spinner {
        Spinner::new(self.talks(), label)
    }

    fn talks(&self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }
}

/// Something turning on standard error while one long call runs; it goes when it is dropped.
#[derive(Debug)]
pub struct Spinner(Option<(mpsc::Sender<()>, JoinHandle<()>)>);

impl Spinner {
    fn new(visible: bool, label: &'static str) -> Self {
        if !visible {
            return Self(None);
        }
        let (stop, stopped) = mpsc::channel();
        let turn = move || {
            if stopped.recv_timeout(PATIENCE) != Err(mpsc::RecvTimeoutError::Timeout) {
                return;
            }
            let spinner = ProgressBar::new_spinner().with_message(label);
            while stopped.recv_timeout(Duration::from_millis(100)) == Err(mpsc::RecvTimeoutError::Timeout) {
                spinner.tick();
            }
            spinner.finish_and_clear();
        };
        Self(Some((stop, std::thread::spawn(turn))))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            // It only draws; if it failed there is nothing to clear.
            let _ = thread.join();
        }
    }
}

/// Turns the result of writing to standard output into a failure; a closed pipe is the reader's choice.
///
/// # Errors
/// Everything but a closed pipe.
pub fn settle(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Kind::Io, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// What a progress bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Anything else.
    Steps,
}

/// A progress bar on standard error.
#[derive(Debug)]
pub struct Progress {
    visible: bool,
    label: &'static str,
    total: u64,
    unit: Unit,
    started: Instant,
    bar: Option<ProgressBar>,
    done: u64,
}

impl Progress {
    /// So much is done.
    pub fn set(&mut self, done: u64) {
        self.done = done;
        if self.visible && self.bar.is_none() && self.started.elapsed() > PATIENCE {
            self.bar = Some(self.bar());
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// The total has turned out to be another one.
    pub fn set_total(&mut self, total: u64) {
        self.total = total;
        if let Some(bar) = &self.bar {
            bar.set_length(total);
        }
    }

    /// So much more is done.
    pub fn add(&mut self, more: u64) {
        self.set(self.done + more);
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn bar(&self) -> ProgressBar {
        let bar = ProgressBar::new(self.total);
        let template = match self.unit {
            Unit::Bytes => "{msg:>9} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
            Unit::Steps => "{msg:>9} {wide_bar} {human_pos}/{human_len} {eta}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.with_message(self.label).with_elapsed(self.started.elapsed())
    }
}
