//! A machine that takes an update, fails with it, goes back, takes another and keeps it.
//!
//! `cargo run -p cowl --example update`; the logic is in `logic.rs`, beside this file.

mod logic;

use cowl::{Attributes, Error, FormatOptions, LayerFlags, Merge, MountOptions, OutOfRange, Pool, RamDisk};
use logic::{Start, boot, confirm, idle, install, system};

/// Sectors of an image.
const IMAGE: u64 = 64;
const TRIES: usize = 3;

/// Installs an image of this byte.
fn take(pool: &mut Pool<'_, &mut RamDisk<'_>>, byte: u8) {
    let mut buffer = [0; 2048];
    let image = |part: &mut [u8]| {
        part.fill(byte);
        part.len()
    };
    install(pool, 0, IMAGE * 512, &mut buffer, image).expect("there is room, and no trial under way");
}

/// Boots; what was started, and the first byte of the system that runs then.
fn start(pool: &mut Pool<'_, &mut RamDisk<'_>>) -> Result<(Start, u8), Error<OutOfRange>> {
    let start = boot(pool, TRIES)?;
    let system = system(pool)?;
    let mut sector = [0; 512];
    pool.read(system, 0, &mut sector)?;
    println!("{start:?}: the system is {:?}", char::from(sector[0]));
    Ok((start, sector[0]))
}

fn main() -> Result<(), Error<OutOfRange>> {
    let (mut memory, mut workspace) = (vec![0; 1 << 20], [0; 16 << 10]);
    let mut disk = RamDisk::new(&mut memory);
    Pool::format(&mut disk, &mut workspace, &FormatOptions::new(512, [7; 16]))?;
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default())?;
    let made = Attributes { name: logic::SYSTEM, ..Attributes::default() };
    let system = pool.create(&made, IMAGE, LayerFlags::empty())?;
    for sector in 0..IMAGE {
        pool.write(system, sector, &[b'A'; 512])?;
    }
    pool.flush()?;
    assert_eq!(start(&mut pool)?, (Start::Settled, b'A'));

    take(&mut pool, b'B'); // an image that never confirms
    for attempt in 1..=TRIES {
        assert_eq!(start(&mut pool)?, (Start::Trial(attempt), b'B'));
    }
    assert_eq!(start(&mut pool)?, (Start::WentBack, b'A'));

    take(&mut pool, b'C'); // and a good one
    assert_eq!(start(&mut pool)?, (Start::Trial(1), b'C'));
    confirm(&mut pool)?;
    assert_eq!(start(&mut pool)?, (Start::Settled, b'C'));
    while idle(&mut pool, 1000)? != Merge::Idle {}
    pool.unmount().map(drop)
}
