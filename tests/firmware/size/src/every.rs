//! What `whole` leaves out: transfers outside the pool, a base device, and the views of a layer. Linked only to show that no
//! panic can be reached in them either.
#![no_std]
#![no_main]

mod port;

use core::ptr::addr_of_mut;

use cowl::{BlockDevice, Counting, Error, LayerId, MountOptions, Partition, Pool, RamDisk, WhatIf};
use embedded_io::{Read, Seek, SeekFrom, Write};
use port::{Failed, Port, input, output};

type Result<T> = core::result::Result<T, Error<Failed>>;
type OnBase<'w> = Pool<'w, Counting<Port>, Port>;

static mut BUFFER: [u8; 512] = [0; 512];
static mut WORKSPACE: [u8; 8192] = [0; 8192];

fn transfers(pool: &mut OnBase<'_>, id: LayerId, sector: u64) -> Result<()> {
    if let Some(reading) = pool.resolve(id, sector, 4)? {
        output(reading.extent().count as u32);
        pool.release(reading);
    }
    if let Some(writing) = pool.prepare(id, sector, 4)? {
        output((writing.sector() + writing.sectors() + writing.checksums()) as u32);
        match input() {
            0 => pool.cancel(writing),
            _ => pool.commit(writing, &[1, 2, 3, 4])?,
        }
    }
    if let Some(flushing) = pool.begin_flush()? {
        output(u32::from(flushing.has_units()) + pool.transfers());
        pool.end_flush(flushing, Ok(()))?;
    }
    Ok(())
}

fn views(pool: &mut OnBase<'_>, id: LayerId, sector: u64, buffer: &mut [u8]) -> Result<()> {
    let mut cursor = pool.cursor(id)?;
    cursor.seek(SeekFrom::Start(sector))?;
    cursor.read(buffer)?;
    cursor.write(buffer)?;
    cursor.flush()?;
    let mut device = pool.volume_device(id)?;
    output(device.geometry().sectors as u32);
    device.read(sector, buffer)?;
    device.write(sector, buffer)?;
    device.discard(sector, 1)?;
    device.flush()
}

fn devices(buffer: &mut [u8]) {
    let (disk, bytes) = buffer.split_at_mut(buffer.len() / 2);
    let Some(mut partition) = Partition::new(RamDisk::new(disk), u64::from(input()), u64::from(input())) else {
        return;
    };
    let failed =
        partition.read(u64::from(input()), bytes).is_err() || partition.write(u64::from(input()), bytes).is_err();
    output(u32::from(failed));
}

fn run() -> Result<()> {
    // SAFETY: taken once.
    let (buffer, workspace) = unsafe { (&mut *addr_of_mut!(BUFFER), &mut *addr_of_mut!(WORKSPACE)) };
    devices(buffer);
    let mut pool = Pool::mount_on_base(Counting::new(Port), Port, workspace, &MountOptions::default())?;
    for layer in pool.layers() {
        output(layer?.id.0);
    }
    let (id, sector) = (LayerId(input()), u64::from(input()));
    transfers(&mut pool, id, sector)?;
    views(&mut pool, id, sector, buffer)?;
    let set = [id];
    let mut what_if: WhatIf<'_> = pool.what_if(&set)?;
    output(what_if.step(&mut pool, 10)?.map_or(0, |delta| delta.data as u32));
    pool.merge_all(100)?;
    output(pool.device().counters().reads as u32);
    pool.abandon();
    Ok(())
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let result = run();
    output(u32::from(result.is_err()));
    loop {
        core::hint::spin_loop();
    }
}
