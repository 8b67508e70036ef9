//! `cowl write`: standard input into a volume, at any byte; durable when the command ends.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
    path::PathBuf,
};

use cowl::LayerInfo;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use super::super::{
    failure::{Failure, Kind},
    interrupt,
    pool::AnyPool,
    select,
    session::{Access, with_pool},
    size::{Bytes, parse_size},
    ui::{Progress, Report, Style, Ui, Unit},
};

/// Bytes moved at a time.
const CHUNK: usize = 1 << 20;
/// Bytes written between two flushes.
const FLUSH_EVERY: u64 = 256 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl write p.cowl vm --offset 1M < patch.bin
  printf hello | cowl write p.cowl vm --offset 7")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The volume
    volume: String,
    /// Where to begin, in bytes
    #[arg(long, default_value = "0", value_parser = parse_size)]
    offset: u64,
}

#[derive(Debug, Serialize)]
struct Written {
    volume: String,
    offset: u64,
    length: u64,
}

impl Report for Written {
    fn text(&self, _style: Style, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "{}: {} written at {}", self.volume, Bytes(self.length), self.offset)
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let report = with_pool(ui, &args.pool, Access::Write, |pool| {
        let volume = select::volume(pool, &args.volume)?;
        let mut written = 0;
        let mut bar = ui.progress("write", input_size(), Unit::Bytes);
        let copied = copy(pool, &volume, args.offset, &mut written, &mut bar);
        bar.finish();
        let flushed = pool.flush();
        copied.and(flushed).map_err(|failure| {
            failure.during(format_args!("{written} bytes were written to {}, then", select::show(&volume)))
        })?;
        Ok(Written { volume: volume.name.to_string(), offset: args.offset, length: written })
    })?;
    ui.show(&report)
}

fn copy(
    pool: &mut dyn AnyPool,
    volume: &LayerInfo,
    offset: u64,
    written: &mut u64,
    bar: &mut Progress,
) -> Result<(), Failure> {
    let total = pool.units().sectors(volume.sectors);
    let mut room = total.checked_sub(offset).ok_or_else(|| {
        Failure::new(Kind::Usage, format!("{} ends at byte {total}, before the offset", select::show(volume)))
    })?;
    let mut input = Patient(standard_input().map_err(|error| unreadable(&error))?);
    let mut buffer = vec![0; CHUNK];
    let mut flushed = 0;
    loop {
        let length = fill(&mut input, &mut buffer)?;
        if length == 0 {
            // The input's end, or that of the patience with it.
            return go_on();
        }
        let fits = usize::try_from(room).unwrap_or(usize::MAX).min(length);
        pool.write_bytes(volume.id, offset + *written, &buffer[..fits])?;
        room -= fits as u64;
        *written += fits as u64;
        bar.set(*written);
        if fits < length {
            return Err(Failure::new(Kind::Refused, "the input is longer than the volume")
                .hint("`cowl resize` makes the volume larger"));
        }
        if *written - flushed >= FLUSH_EVERY {
            pool.flush()?;
            flushed = *written;
        }
        go_on()?;
    }
}

fn go_on() -> Result<(), Failure> {
    interrupt::check("not everything was written", "what was written is durable; give a later --offset to go on")
}

/// Bytes that standard input has, if it is a file; 0 if nobody knows.
fn input_size() -> u64 {
    standard_input().and_then(|file| file.metadata()).map_or(0, |metadata| metadata.len())
}

fn standard_input() -> io::Result<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(Kind::Io, format!("cannot read standard input: {error}"))
}

/// Standard input that notices Ctrl-C while it waits: the system would otherwise just go on waiting after the signal.
/// A file of its own, for what a buffer already holds would not show when asking whether anything is there.
struct Patient(File);

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wait = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        loop {
            if interrupt::asked() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let ready = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&wait));
            match ready {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                _ => return self.0.read(buffer),
            }
        }
    }
}

/// Reads until the buffer is full or the input ends: pipes come in small pieces.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Failure> {
    let mut length = 0;
    while length < buffer.len() {
        match input.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && interrupt::asked() => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(&error)),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn input_that_comes_in_pieces_fills_the_buffer() {
        let mut input = std::io::Read::chain(&b"abc"[..], &b"defg"[..]);
        let mut buffer = [0; 5];
        assert_eq!(fill(&mut input, &mut buffer).unwrap(), 5);
        assert_eq!(&buffer, b"abcde");
        assert_eq!(fill(&mut input, &mut buffer).unwrap(), 2);
        assert_eq!(fill(&mut input, &mut buffer).unwrap(), 0);
    }
}
