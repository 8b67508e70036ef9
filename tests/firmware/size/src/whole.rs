//! Every call of the interface, on one device.
#![no_std]
#![no_main]

mod port;

use core::ptr::addr_of_mut;

use cowl::{Attributes, Error, FormatOptions, LayerFlags, LayerId, MountOptions, Pool, SnapshotOf};
use port::{Failed, Port, input, output};

type Result<T> = core::result::Result<T, Error<Failed>>;

static mut BUFFER: [u8; 512] = [0; 512];
static mut WORKSPACE: [u8; 8192] = [0; 8192];

fn named() -> Attributes<'static> {
    Attributes { name: "name", uuid: [1; 16], description: "text", time: 1 }
}

#[inline(never)]
fn layers(pool: &mut Pool<'_, Port>, call: u32, id: LayerId) -> Result<u32> {
    let (other, number) = (LayerId(input()), u64::from(input()));
    Ok(match call {
        0 => pool.create(&named(), number, LayerFlags::INTEGRITY | LayerFlags::GUARANTEED)?.0,
        1 => pool.snapshot_all(&[SnapshotOf { volume: id, attributes: named(), attachments: &[other] }])?.0,
        2 => pool.rollback(id, other, number, Some(&named()))?.map_or(0, |kept| kept.0),
        3 => pool.clone_snapshot(id, &named(), true)?.0,
        4 => pool.delete(id).map(|()| 0)?,
        5 => pool.rename(id, "other").map(|()| 0)?,
        6 => pool.describe(id, "other").map(|()| 0)?,
        7 => pool.stage_attachment(&named(), number)?.0,
        8 => pool.attach(id, other).map(|()| 0)?,
        9 => pool.resize(id, number).map(|()| 0)?,
        _ => pool.merge_step(100).map(|_| 0)?,
    })
}

#[inline(never)]
fn queries(pool: &mut Pool<'_, Port>, call: u32, id: LayerId, buffer: &mut [u8]) -> Result<u32> {
    let number = u64::from(input());
    Ok(match call {
        20 => pool.layer(id)?.children,
        21 => pool.find("name")?.map_or(0, |info| info.id.0),
        22 => pool.next_layer(Some(id))?.map_or(0, |info| info.id.0),
        23 => pool.next_attachment(id, None)?.map_or(0, |info| info.id.0),
        24 => pool.description(id, buffer)? as u32,
        25 => pool.extent(id, number)?.count as u32,
        26 => pool.diff(id, LayerId(input()), number)?.map_or(0, |extent| extent.count as u32),
        27 => pool.what_if_freed(&[id])?.data as u32,
        28 => pool.check(buffer, true, &mut |_| output(1))?.findings as u32,
        29 => pool.space().free as u32,
        30 => pool.stats().reads as u32,
        _ => pool.info().deleted,
    })
}

#[inline(never)]
fn data(pool: &mut Pool<'_, Port>, call: u32, id: LayerId, buffer: &mut [u8]) -> Result<u32> {
    let number = u64::from(input());
    match call {
        10 => pool.read(id, number, buffer)?,
        11 => pool.write(id, number, buffer)?,
        12 => pool.discard(id, number, 2)?,
        13 => pool.write_zeroes(id, number, 2)?,
        14 => pool.flush()?,
        15 => pool.checkpoint()?,
        16 => return Ok(pool.grow()? as u32),
        _ => return Ok(pool.discard_free(number, 100)?.unwrap_or(0) as u32),
    }
    Ok(0)
}

fn run() -> Result<()> {
    // SAFETY: taken once.
    let (buffer, workspace) = unsafe { (&mut *addr_of_mut!(BUFFER), &mut *addr_of_mut!(WORKSPACE)) };
    if input() == 0 {
        Pool::format(Port, workspace, &FormatOptions::new(512, [7; 16]))?;
    }
    let mut pool = Pool::mount(Port, workspace, &MountOptions::default())?;
    loop {
        let (call, id) = (input(), LayerId(input()));
        let result = match call {
            0..=9 | 99 => layers(&mut pool, call, id)?,
            10..=19 => data(&mut pool, call, id, buffer)?,
            20..=40 => queries(&mut pool, call, id, buffer)?,
            _ => break,
        };
        output(result);
    }
    pool.unmount().map(drop)
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let result = run();
    output(u32::from(result.is_err()));
    loop {
        core::hint::spin_loop();
    }
}
