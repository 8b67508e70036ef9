//! One life of a pool, the same on every machine.
//!
//! [`run`] looks at the disk and does what is to be done there:
//!
//! - no pool: it makes one and goes through [`LIFE`], part by part, each part in a mount of its own;
//! - a pool with a volume [`HANDED`]: a host has made it; the machine works on it as [`VISIT`] says;
//! - any other pool: the power was cut. The machine checks it, finishes merging, and leaves a volume [`MARK`] behind.
//!
//! In the end it reads what it has left as a boot loader would, with the small reader.
//!
//! Nothing depends on the machine: neither a clock nor randomness nor the width of a pointer. The same disk and the same
//! [`WORKSPACE`] give the same device writes everywhere, which is what the tests on the host compare. Whoever wants to know
//! what happens when hands in a [`Witness`].
#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
mod perform;
mod script;
pub mod update;

pub use perform::{Fault, Silent, Wanted, Witness};
pub use script::{Action, HANDED, LIFE, MARK, Outcome, Piece, SCRATCH, Step, VISIT};

use cowl::{BlockDevice, Error, FormatOptions, MountOptions, Pool};

/// Bytes of memory for the pool.
pub const WORKSPACE: usize = 13 << 9;
/// Bytes of memory for the data that the machine itself writes and compares.
pub const BUFFER: usize = 2 * 512;
/// Sectors of the disk that the life is written for.
pub const DISK_SECTORS: u64 = 640;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Done {
    /// A pool was made and lived.
    Lived,
    /// A host's pool was worked on.
    Visited,
    /// A pool was recovered after a power cut.
    Recovered,
}

/// How a pool is made here.
pub fn format_options() -> FormatOptions {
    FormatOptions::new(512, [0xc0; 16])
}

/// Does what is to be done on this disk.
///
/// # Errors
/// What went wrong, and at which action.
pub fn run<D: BlockDevice, W: Witness>(
    device: &mut D,
    workspace: &mut [u8; WORKSPACE],
    buffer: &mut [u8; BUFFER],
    witness: &mut W,
) -> Result<Done, Fault<D::Error>> {
    let done = task(device, workspace)?;
    let left = match done {
        Done::Lived => {
            play(device, workspace, buffer, witness, LIFE)?;
            boot::LIVED
        }
        Done::Visited => {
            play(device, workspace, buffer, witness, VISIT)?;
            boot::VISITED
        }
        Done::Recovered => {
            recover(device, workspace, buffer, witness)?;
            boot::RECOVERED
        }
    };
    boot::look(device, workspace, buffer, left)?;
    Ok(done)
}

/// What is to be done; if there is no pool yet it is made.
#[inline(never)]
fn task<D: BlockDevice>(device: &mut D, workspace: &mut [u8; WORKSPACE]) -> Result<Done, Fault<D::Error>> {
    // A pool is large: it stays where it was mounted.
    match &mut Pool::mount(&mut *device, workspace, &MountOptions::default()) {
        Ok(pool) => {
            let handed = pool.find(HANDED).map_err(Fault::at_start)?.is_some();
            return Ok(if handed { Done::Visited } else { Done::Recovered });
        }
        Err(Error::NotAPool) => {}
        Err(error) => return Err(Fault::at_start(core::mem::replace(error, Error::NotAPool))),
    }
    Pool::format(device, workspace, &format_options()).map_err(Fault::at_start)?;
    Ok(Done::Lived)
}

/// The power was cut.
#[inline(never)]
fn recover<D: BlockDevice, W: Witness>(
    device: &mut D,
    workspace: &mut [u8; WORKSPACE],
    buffer: &mut [u8; BUFFER],
    witness: &mut W,
) -> Result<(), Fault<D::Error>> {
    let mut mounted = Pool::mount(device, workspace, &MountOptions::default());
    let actions = match mounted {
        Ok(ref mut pool) => perform::recover(pool, buffer, witness)?,
        Err(error) => return Err(Fault::at_start(error)),
    };
    perform::unmount(&mut mounted, witness, actions)
}

/// Each part in a mount of its own.
#[inline(never)]
fn play<D: BlockDevice, W: Witness>(
    device: &mut D,
    workspace: &mut [u8; WORKSPACE],
    buffer: &mut [u8; BUFFER],
    witness: &mut W,
    parts: &[&[Step]],
) -> Result<(), Fault<D::Error>> {
    let mut actions = 0;
    for part in parts {
        let mut mounted = Pool::mount(&mut *device, workspace, &MountOptions::default());
        actions = match mounted {
            Ok(ref mut pool) => perform::part(pool, buffer, witness, actions, part)?,
            Err(error) => return Err(Fault::at_start(error)),
        };
        perform::unmount(&mut mounted, witness, actions)?;
        actions += 1;
    }
    Ok(())
}
