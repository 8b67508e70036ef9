//! A machine that can be updated: each run of this program is one boot of it, and does what the file `order` says.
//!
//! `b`: boot, `c`: confirm, `t`: merge until there is nothing to do, a capital letter: install an image of this letter. The disk is `disk.img`, as for the
//! scenario; the result is the exit code, and what was started on standard error.
#![no_std]
#![no_main]

mod disk;
#[path = "../../../../core/examples/update/logic.rs"]
mod logic;

use core::ptr::addr_of_mut;

use cortex_m as _;
use cortex_m_rt::entry;
use cowl::{Error, Merge, MountOptions, Pool};
use disk::FileDisk;
use logic::{Refused, Start, boot, confirm, idle, install, system};
use semihosting::{
    eprintln,
    fs::File,
    io::{Error as Device, Read},
    process,
};

/// Boots that a new system has to confirm.
const TRIES: usize = 3;
/// Bytes of an image; the system's volume has one sector more.
const IMAGE: u64 = 6 * 512;

static mut MEMORY: [u8; 8 << 10] = [0; 8 << 10];

#[entry]
fn main() -> ! {
    match run() {
        Ok(()) => process::exit(0),
        Err(why) => {
            eprintln!("{why:?}");
            process::exit(1)
        }
    }
}

fn run() -> Result<(), Refused<Device>> {
    let failed = |error| Refused::Pool(Error::Device(error));
    let mut order = [0];
    File::open(c"order").and_then(|mut file| file.read_exact(&mut order)).map_err(failed)?;
    // SAFETY: this function is called once, nobody else knows the memory.
    let memory = unsafe { &mut *addr_of_mut!(MEMORY) };
    let mut pool = Pool::mount(FileDisk::open().map_err(failed)?, memory, &MountOptions::default())?;
    match order[0] {
        b'b' => start(&mut pool)?,
        b'c' => confirm(&mut pool)?,
        b't' => while idle(&mut pool, 120)? != Merge::Idle {},
        letter => install(&mut pool, 0, IMAGE, &mut [0; 1024], |part| {
            part.fill(letter);
            part.len()
        })?,
    }
    pool.unmount()?;
    Ok(())
}

/// Boots; the system then writes something of its own.
fn start(pool: &mut Pool<'_, FileDisk>) -> Result<(), Error<Device>> {
    let start: Start = boot(pool, TRIES)?;
    let system = system(pool)?;
    let mut sector = [0; 512];
    pool.read(system, 0, &mut sector)?;
    eprintln!("{start:?}: {}", char::from(sector[0]));
    pool.write(system, IMAGE / 512, &[0xee; 512])
}
