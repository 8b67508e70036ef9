//! One life of a pool, the same on every machine.
//!
//! [`run`] looks at the disk and does what is to be done there:
//!
//! - no pool: it makes one and goes through [`LIFE`], part by part, each part in a mount of its own;
//! - a pool with a volume [`HANDED`]: a host has made it; the machine works on it as [`VISIT`] says;
//! - any other pool: the power was cut. The machine checks it, finishes merging, and leaves a volume [`MARK`] behind.
//!
//! Nothing depends on the machine: neither a clock nor randomness nor the width of a pointer. The same disk and the same
//! [`WORKSPACE`] give the same device writes everywhere, which is what the tests on the host compare. Whoever wants to know
//! what happens when hands in a [`Witness`].
#![no_std]
#![forbid(unsafe_code)]

mod perform;
mod script;

pub use perform::{Fault, Silent, Wanted, Witness};
pub use script::{Action, HANDED, LIFE, MARK, Outcome, Piece, SCRATCH, Step, VISIT};

use cowl::{BlockDevice, Error, FormatOptions, MountOptions, Pool};
use perform::Player;

/// Bytes of memory for the pool.
pub const WORKSPACE: usize = 8 << 10;
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
    let handed = match Pool::mount(&mut *device, workspace, &MountOptions::default()) {
        Ok(mut pool) => pool.find(HANDED).map_err(Fault::at_start)?.is_some(),
        Err(Error::NotAPool) => {
            Pool::format(&mut *device, workspace, &format_options()).map_err(Fault::at_start)?;
            play(device, workspace, buffer, witness, LIFE)?;
            return Ok(Done::Lived);
        }
        Err(error) => return Err(Fault::at_start(error)),
    };
    if handed {
        play(device, workspace, buffer, witness, VISIT)?;
        return Ok(Done::Visited);
    }
    let pool = Pool::mount(device, workspace, &MountOptions::default()).map_err(Fault::at_start)?;
    Player::new(pool, buffer, witness, 0).recover()?;
    Ok(Done::Recovered)
}

/// Each part in a mount of its own.
fn play<D: BlockDevice, W: Witness>(
    device: &mut D,
    workspace: &mut [u8; WORKSPACE],
    buffer: &mut [u8; BUFFER],
    witness: &mut W,
    parts: &[&[Step]],
) -> Result<(), Fault<D::Error>> {
    let mut actions = 0;
    for part in parts {
        let pool = Pool::mount(&mut *device, workspace, &MountOptions::default()).map_err(Fault::at_start)?;
        let mut player = Player::new(pool, buffer, witness, actions);
        for step in *part {
            player.step(step)?;
        }
        actions = player.unmount()?;
    }
    Ok(())
}
