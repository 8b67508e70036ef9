//! A machine that can be updated: each run of its program is one boot of it, and does what it is ordered.

// The example itself, as it is.
#[path = "../../../../core/examples/update/logic.rs"]
mod logic;

use cowl::{BlockDevice, Error, Merge, MountOptions, Pool};
pub use logic::{Refused, Start};
use logic::{boot, confirm, idle, install, system};

/// Boots that a new system has to confirm.
const TRIES: usize = 3;
/// Bytes of an image; the system's volume has one sector more.
const IMAGE: u64 = 6 * 512;
/// Bytes of memory for the pool.
pub const WORKSPACE: usize = 8 << 10;

/// One boot. `b`: boot, `c`: confirm, `t`: merge until there is nothing to do, a capital letter: install an image of this letter.
/// `started` is told what was started, and the first letter of the image.
///
/// # Errors
/// The pool's, and those of an installation.
pub fn run<D: BlockDevice>(
    device: D,
    memory: &mut [u8],
    order: u8,
    started: &mut dyn FnMut(Start, char),
) -> Result<(), Refused<D::Error>> {
    let mut pool = Pool::mount(device, memory, &MountOptions::default())?;
    match order {
        b'b' => start(&mut pool, started)?,
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
fn start<D: BlockDevice>(pool: &mut Pool<'_, D>, started: &mut dyn FnMut(Start, char)) -> Result<(), Error<D::Error>> {
    let start = boot(pool, TRIES)?;
    let system = system(pool)?;
    let mut sector = [0; 512];
    pool.read(system, 0, &mut sector)?;
    started(start, char::from(sector[0]));
    pool.write(system, IMAGE / 512, &[0xee; 512])
}
