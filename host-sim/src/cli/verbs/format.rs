//! `cowl format`: a new pool. Nothing that exists is overwritten unless forced.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use cowl::{BlockDevice, Error, FormatOptions, Pool};
use serde::Serialize;
use uuid::Uuid;

use super::super::{
    failure::{Failure, Kind},
    session::{different_files, workspace_size},
    size::{Bytes, parse_size},
    ui::{Report, Style, Ui},
};
use crate::{
    FileOptions, HostDevice,
    device::{Base, identify, is_block_device},
};

/// A pool of this size is taken for one of a host, which can spare some memory for fewer checkpoints.
const LARGE: u64 = 1 << 30;
/// Of so many blocks of such a pool one may change its place between two checkpoints, and there may be as many flushes: a
/// checkpoint writes the nodes that have changed, which costs the less the more changes share them. The space that is set aside
/// for checkpoints grows with it; so it is some two hundredths of the pool.
const SHARE: u64 = 256;
/// With more of them nothing gets faster.
const MOST: u64 = 4096;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl format p.cowl --size 4G --block 4K
  cowl format /dev/sdb1
  cowl format p.cowl --size 4G --base golden.img

The file is sparse: it takes disk space only as the pool fills. A pool on a base needs --base with every verb.")]
pub struct Args {
    /// The file to be made, or a block device
    pool: PathBuf,
    /// Size of the file; a block device is used as a whole
    #[arg(long, value_parser = parse_size)]
    size: Option<u64>,
    /// Unit of allocation, 512 to 64K: larger is faster, smaller shares more
    #[arg(long, default_value = "4K", value_parser = parse_size)]
    block: u64,
    /// Bytes that the disk below a file rewrites as a whole; default 4K, or the block size if that is smaller
    #[arg(long, value_parser = parse_size)]
    physical: Option<u64>,
    /// Map changes held in memory between checkpoints, some 60 bytes each; default: up to 4096 in pools from 1G, else as small
    /// machines like it
    #[arg(long)]
    pending: Option<u32>,
    /// Units of the journal
    #[arg(long)]
    journal: Option<u32>,
    /// The pool's UUID; default: a new one
    #[arg(long)]
    uuid: Option<Uuid>,
    /// Format even if that destroys what is there
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Serialize)]
struct Formatted {
    pool: PathBuf,
    uuid: Uuid,
    size: u64,
    block_size: u32,
    base: Option<PathBuf>,
}

impl Report for Formatted {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{}: a pool of {} in blocks of {}",
            self.pool.display(),
            Bytes(self.size),
            Bytes(self.block_size.into())
        )
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let block =
        u32::try_from(args.block).ok().filter(|block| block.is_power_of_two() && (512..=65_536).contains(block));
    let block = block.ok_or_else(|| {
        Failure::new(Kind::Usage, "the block size is a power of two from 512 to 64K")
            .hint("--block 4K suits most disks")
    })?;
    if let Some(base) = &ui.base {
        different_files(base, &args.pool)?;
    }
    let existed = args.pool.exists();
    let device = open(args, block)?;
    let report = format(ui, args, device, block);
    if report.is_err() && !existed {
        // The file is ours, and what could not become a pool is not left behind.
        let _ = fs::remove_file(&args.pool);
    }
    ui.show(&report?)
}

/// The device, after everything that speaks against formatting it.
fn open(args: &Args, block: u32) -> Result<HostDevice, Failure> {
    let physical = args.physical.and_then(|size| u32::try_from(size).ok()).unwrap_or_else(|| block.min(4096));
    let options = FileOptions::new().sector_size(512).physical_size(physical);
    if !args.pool.exists() {
        let size = args.size.ok_or_else(|| {
            Failure::new(Kind::Usage, format!("{} does not exist; how large is it to be?", args.pool.display()))
                .hint("give --size, for example --size 4G")
        })?;
        return Ok(HostDevice::File(options.create(&args.pool, size)?));
    }
    let block_device = is_block_device(&args.pool).map_err(|error| Failure::file("open", &args.pool, &error))?;
    if block_device && args.size.is_some() {
        return Err(Failure::new(Kind::Usage, "--size is for files; a block device is used as a whole"));
    }
    let mut device = HostDevice::open(&args.pool, &options)?;
    if !args.force {
        refuse_content(&args.pool, block_device)?;
    }
    if let (HostDevice::File(file), Some(size)) = (&mut device, args.size) {
        // Emptied first, so that nothing of the old content stays and the file is sparse again.
        file.file().set_len(0).map_err(|error| Failure::file("empty", &args.pool, &error))?;
        file.extend(size)?;
    }
    if device.geometry().sectors == 0 {
        return Err(Failure::new(Kind::Usage, format!("{} is empty; how large is it to be?", args.pool.display()))
            .hint("give --size, for example --size 4G"));
    }
    Ok(device)
}

/// Changes and flushes between two checkpoints of a pool on a host; 0 if it may be one of a small machine.
pub fn suits_host(size: u64, block: u32) -> u32 {
    if size < LARGE || block < 4096 {
        return 0;
    }
    u32::try_from((size / u64::from(block) / SHARE).min(MOST)).unwrap_or(0)
}

fn refuse_content(path: &Path, block_device: bool) -> Result<(), Failure> {
    let failed = |error| Failure::file("read", path, &error);
    let file = fs::File::open(path).map_err(failed)?;
    let found = identify(&file).map_err(failed)?;
    // Not the device's size: a file shorter than a sector has content too.
    let size = file.metadata().map_err(failed)?.len();
    let what = match found {
        Some(found) => format!("{} holds {found}", path.display()),
        None if size > 0 && !block_device => format!("{} exists and has content ({})", path.display(), Bytes(size)),
        None => return Ok(()),
    };
    Err(Failure::new(Kind::Refused, what).hint("--force formats it all the same; everything in it is then lost"))
}

fn format(ui: &Ui, args: &Args, mut device: HostDevice, block: u32) -> Result<Formatted, Failure> {
    let uuid = args.uuid.unwrap_or_else(Uuid::new_v4);
    let mut options = FormatOptions::new(block, *uuid.as_bytes());
    options.checksum = crate::crc32c;
    options.force = args.force;
    let suits_host = suits_host(device.size(), block);
    options.pending = args.pending.unwrap_or(options.pending.max(suits_host));
    options.journal_units = args.journal.unwrap_or(options.journal_units.max(suits_host));
    let mut base = Base::open(ui.base.as_deref(), device.geometry().sector_size)?;
    let size = device.size();
    let mut workspace = vec![0; workspace_size(ui, size)];
    loop {
        let done = match &mut base {
            Base::None => Pool::format(&mut device, &mut workspace, &options),
            Base::Device(base) => Pool::format_on_base(&mut device, base, &mut workspace, &options),
        };
        match done {
            Ok(()) => break,
            Err(Error::WorkspaceTooSmall { needed }) if ui.workspace.is_none() && needed > workspace.len() => {
                workspace = vec![0; needed];
            }
            Err(error) => {
                return Err(Failure::from(error).during(format_args!("cannot format {}", args.pool.display())));
            }
        }
    }
    Ok(Formatted { pool: args.pool.clone(), uuid, size, block_size: block, base: ui.base.clone() })
}
