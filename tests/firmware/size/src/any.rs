//! Every call of the library, with numbers, texts and lengths that the compiler cannot know. That it links shows that no panic can be
//! reached in any of it, whatever it is given; its size is that of all of cowl at once.
#![no_std]
#![no_main]

mod port;

use core::ptr::addr_of_mut;

use cowl::{
    Attributes, BlockDevice, Error, FormatOptions, Geometry, LayerFlags, LayerId, Limits, MountOptions, Name,
    Partition, Pool, RamDisk, Reader, SnapshotOf, reader_workspace_size, workspace_size,
};
use embedded_io::{Read, Seek, SeekFrom, Write};
use port::{Failed, Port, input, output};

type Result<T> = core::result::Result<T, Error<Failed>>;
type Pooled<'w> = Pool<'w, Device, Device>;

static mut BUFFER: [u8; 4096] = [0; 4096];
static mut WORKSPACE: [u8; 8192] = [0; 8192];

/// A device that says anything of itself.
struct Device;

impl BlockDevice for Device {
    type Error = Failed;

    fn geometry(&self) -> Geometry {
        Geometry {
            sector_size: input(),
            sectors: wide(),
            physical_size: input(),
            alignment: input(),
            read_only: coin(),
            discard: coin(),
        }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> core::result::Result<(), Failed> {
        Port.read(sector, buffer)
    }

    fn write(&mut self, sector: u64, buffer: &[u8]) -> core::result::Result<(), Failed> {
        Port.write(sector, buffer)
    }

    fn flush(&mut self) -> core::result::Result<(), Failed> {
        Port.flush()
    }

    fn discard(&mut self, sector: u64, count: u64) -> core::result::Result<(), Failed> {
        show(sector + count);
        Port.flush()
    }
}

fn wide() -> u64 {
    u64::from(input()) << 32 | u64::from(input())
}

fn coin() -> bool {
    input() == 0
}

fn show(value: u64) {
    output((value >> 32) as u32);
    output(value as u32);
}

fn part<T>(of: &[T]) -> &[T] {
    of.get(input() as usize..input() as usize).unwrap_or(&[])
}

fn text(of: &[u8]) -> &str {
    core::str::from_utf8(part(of)).unwrap_or("")
}

fn sum(so_far: u32, bytes: &[u8]) -> u32 {
    output(so_far);
    show(bytes.len() as u64);
    input()
}

fn attributes(texts: &[u8]) -> Attributes<'_> {
    Attributes { name: text(texts), uuid: [input() as u8; 16], description: text(texts), time: wide() }
}

fn verbs(pool: &mut Pooled<'_>, texts: &[u8], ids: &[LayerId]) -> Result<()> {
    let (said, id, other) = (attributes(texts), LayerId(input()), LayerId(input()));
    match input() {
        0 => show(pool.create(&said, wide(), LayerFlags::from_bits_retain(input()))?.0.into()),
        1 => {
            let one = SnapshotOf { volume: id, attributes: said, attachments: part(ids) };
            let two = SnapshotOf { volume: other, attributes: attributes(texts), attachments: part(ids) };
            show(pool.snapshot_all(part(&[one, two]))?.0.into());
        }
        2 => show(pool.rollback(id, other, wide(), coin().then_some(&said))?.map_or(0, |kept| kept.0).into()),
        3 => show(pool.clone_snapshot(id, &said, coin())?.0.into()),
        4 => pool.delete(id)?,
        5 => pool.rename(id, text(texts))?,
        6 => pool.describe(id, text(texts))?,
        7 => show(pool.stage_attachment(&said, wide())?.0.into()),
        8 => pool.attach(id, other)?,
        9 => pool.resize(id, wide())?,
        10 => show(pool.grow()?),
        11 => show(pool.discard_free(wide(), input())?.unwrap_or(0)),
        12 => drop(pool.merge_step(input())?),
        13 => pool.merge_all(input())?,
        14 => show(pool.snapshot(id, &said)?.0.into()),
        _ => pool.checkpoint()?,
    }
    Ok(())
}

fn queries(pool: &mut Pooled<'_>, texts: &[u8], ids: &[LayerId], bytes: &mut [u8]) -> Result<()> {
    let (id, other) = (LayerId(input()), LayerId(input()));
    match input() {
        0 => show(pool.layer(id)?.children.into()),
        1 => show(pool.find(text(texts))?.map_or(0, |layer| layer.sectors)),
        2 => show(pool.next_layer(coin().then_some(id))?.map_or(0, |layer| layer.sectors)),
        3 => show(pool.next_record(coin().then_some(id))?.map_or(0, |layer| layer.sectors)),
        4 => show(pool.next_attachment(id, coin().then_some(other))?.map_or(0, |layer| layer.sectors)),
        5 => show(pool.description(id, bytes)? as u64),
        6 => show(pool.extent(id, wide())?.count),
        7 => show(pool.diff(id, other, wide())?.map_or(0, |extent| extent.count)),
        8 => show(pool.what_if_freed(part(ids))?.data),
        9 => {
            let mut what_if = pool.what_if(part(ids))?;
            show(what_if.step(pool, input())?.map_or(0, |delta| delta.nodes));
        }
        10 => {
            let checked = pool.check_watched(bytes, coin(), &mut |_| output(1), &mut |done, of| show(done + of))?;
            show(checked.findings);
        }
        11 => {
            for layer in pool.layers() {
                show(layer?.sectors);
            }
        }
        12 => {
            let (info, stats) = (pool.info(), pool.stats());
            show(pool.space().available() + info.generation + stats.reads + u64::from(pool.transfers()));
        }
        _ => show(u64::from(pool.checksum()(input(), bytes)) + pool.cache_size()),
    }
    Ok(())
}

fn data(pool: &mut Pooled<'_>, bytes: &mut [u8]) -> Result<()> {
    let (id, sector, count) = (LayerId(input()), wide(), wide());
    match input() {
        0 => pool.read(id, sector, bytes)?,
        1 => pool.write(id, sector, bytes)?,
        2 => pool.discard(id, sector, count)?,
        3 => pool.write_zeroes(id, sector, count)?,
        4 => pool.flush()?,
        5 => {
            if let Some(reading) = pool.resolve(id, sector, count)? {
                show(reading.extent().count);
                pool.release(reading);
            }
        }
        6 => {
            if let Some(writing) = pool.prepare(id, sector, count)? {
                show(writing.sector() + writing.sectors() + writing.checksums());
                if coin() {
                    pool.cancel(writing);
                } else {
                    pool.commit(writing, part(&[1, 2, 3, 4, 5]))?;
                }
            }
        }
        7 => {
            if let Some(flushing) = pool.begin_flush()? {
                output(u32::from(flushing.has_units()));
                pool.end_flush(flushing, if coin() { Ok(()) } else { Err(Failed) })?;
            }
        }
        8 => {
            let mut cursor = pool.cursor(id)?;
            cursor.seek(match input() {
                0 => SeekFrom::Start(sector),
                1 => SeekFrom::Current(sector.cast_signed()),
                _ => SeekFrom::End(sector.cast_signed()),
            })?;
            show((cursor.read(bytes)? + cursor.write(bytes)?) as u64);
            cursor.flush()?;
        }
        _ => {
            let mut device = pool.volume_device(id)?;
            show(device.geometry().sectors);
            device.read(sector, bytes)?;
            device.write(sector, bytes)?;
            device.discard(sector, count)?;
            device.flush()?;
        }
    }
    Ok(())
}

fn devices(bytes: &mut [u8]) {
    let (disk, bytes) = bytes.split_at_mut(bytes.len() / 2);
    let Some(mut partition) = Partition::new(RamDisk::with_sector_size(disk, input()), wide(), wide()) else { return };
    let failed = [
        partition.read(wide(), bytes).is_err(),
        partition.write(wide(), bytes).is_err(),
        partition.discard(wide(), wide()).is_err(),
    ];
    for failed in failed {
        output(u32::from(failed));
    }
}

fn small_reader(workspace: &mut [u8], checksum: cowl::Checksum, texts: &[u8], bytes: &mut [u8]) -> Result<()> {
    show(reader_workspace_size(input(), input()) as u64);
    let mut reader = Reader::mount(Device, workspace, checksum)?;
    while let Some(image) = reader.find(text(texts))? {
        show(image.sectors() + image.length() + u64::from(image.id().0));
        let Some(attached) = reader.attachment(&image, text(texts))? else { continue };
        let image = if coin() { image } else { attached };
        let bytes = bytes.get_mut(input() as usize..input() as usize).unwrap_or(&mut []);
        reader.read(&image, wide(), bytes)?;
    }
    reader.into_device().flush().map_err(Error::Device)
}

fn run() -> Result<()> {
    // SAFETY: taken once.
    let (buffer, workspace) = unsafe { (&mut *addr_of_mut!(BUFFER), &mut *addr_of_mut!(WORKSPACE)) };
    let (texts, bytes) = buffer.split_at_mut(2048);
    texts.fill(input() as u8);
    devices(bytes);
    let limits = Limits { volume_blocks: wide(), layers: input(), ..Limits::new(input(), wide()) };
    show(workspace_size(input(), limits) as u64);
    output(u32::from(Name::new(text(texts)).is_some_and(|name| name.as_str().is_empty())));
    let Some(workspace) = workspace.get_mut(input() as usize..) else { return Ok(()) };
    let mut options = FormatOptions::new(input(), [input() as u8; 16]);
    (options.pending, options.journal_units, options.force) = (input(), input(), coin());
    let checksum = if coin() { sum } else { cowl::crc32c };
    options.checksum = checksum;
    if coin() {
        small_reader(workspace, checksum, texts, bytes)?;
        Pool::format(Device, workspace, &options)?;
        Pool::format_on_base(Device, Device, workspace, &options)?;
        Pool::mount(Device, workspace, &MountOptions { read_only: coin(), checksum })?.abandon();
    }
    let mut pool = Pool::mount_on_base(Device, Device, workspace, &MountOptions { read_only: coin(), checksum })?;
    let ids = [(); 8].map(|()| LayerId(input()));
    loop {
        let (from, to) = (input() as usize, input() as usize);
        let bytes = bytes.get_mut(from..to).unwrap_or(&mut []);
        match input() {
            0 => verbs(&mut pool, texts, &ids)?,
            1 => queries(&mut pool, texts, &ids, bytes)?,
            2 => data(&mut pool, bytes)?,
            _ => return pool.unmount().map(drop),
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let result = run();
    output(u32::from(result.is_err()));
    loop {
        core::hint::spin_loop();
    }
}
