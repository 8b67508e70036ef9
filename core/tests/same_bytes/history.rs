//! Histories of every verb, drawn from a seed.

use cowl::{
    Attributes, BlockDevice, FormatOptions, Geometry, LayerFlags, LayerId, LayerInfo, LayerKind, Limits, MountOptions,
    Pool, Reader, SnapshotOf, Writing, crc32c, workspace_size,
};

use crate::device::{Failed, Recorder};

/// What a pool is like.
#[derive(Clone, Copy)]
pub struct Shape {
    pub block_size: u32,
    pub sector_size: u32,
    pub physical_size: u32,
    pub blocks: u64,
    pub pending: u32,
    pub journal_units: u32,
    /// Blocks of memory beyond what is needed.
    pub spare_slots: usize,
    /// Sectors of a volume at most.
    pub sectors: u64,
    /// Sectors of a base device; 0 if there is none.
    pub base: u64,
    /// Every device call of this number fails; 0 for none.
    pub failing: u64,
    /// The device gets longer on the way.
    pub growing: bool,
    pub operations: u32,
}

type Pooled<'w> = Pool<'w, &'w mut Recorder, &'w mut Recorder>;

/// Plain numbers that follow from a seed.
struct Draw(u64);

impl Draw {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below.max(1)
    }
}

/// What a history has at hand.
struct World<'s> {
    shape: &'s Shape,
    draw: Draw,
    number: u64,
}

/// The number that stands for all that happens in the history of a seed on a pool of this shape.
pub fn digest(shape: &Shape, seed: u64) -> u32 {
    let mut world = World { shape, draw: Draw(seed), number: 0 };
    let sectors = shape.blocks * u64::from(shape.block_size / shape.sector_size);
    let geometry =
        Geometry { physical_size: shape.physical_size, discard: true, ..Geometry::new(shape.sector_size, sectors) };
    let mut disk = Recorder::new(geometry);
    let mut base = Recorder::new(Geometry::new(shape.sector_size, shape.base));
    let limits = Limits {
        volume_blocks: 1 << 41,
        pending: shape.pending,
        ..Limits::new(shape.block_size, shape.blocks * if shape.growing { 40 } else { 1 })
    };
    let needed = workspace_size(shape.block_size, limits) + shape.spare_slots * (shape.block_size as usize + 36);
    let mut memory = vec![0; needed + 64];
    // Wherever the memory lies, the pool gets as much.
    let skip = memory.as_ptr().align_offset(64);
    let memory = &mut memory[skip..skip + needed];
    let options = FormatOptions {
        pending: shape.pending,
        journal_units: shape.journal_units,
        ..FormatOptions::new(shape.block_size, [7; 16])
    };
    let formatted = Pool::format_on_base(&mut disk, &mut base, memory, &options);
    disk.note(&(needed, formatted));
    while world.number < u64::from(shape.operations) {
        life(&mut world, &mut disk, &mut base, memory);
        let lost = [0, u64::MAX, 0x5a5a_c3c3_0ff0_1234, !1, 1][usize::try_from(world.draw.next(5)).unwrap()];
        disk.cut(lost);
        if shape.growing && world.draw.next(3) == 0 {
            disk.grow(1 + world.draw.next(shape.blocks / 2));
        }
    }
    disk.failing = 0;
    let mut pool = Pool::mount_on_base(&mut disk, &mut base, memory, &MountOptions::default()).unwrap();
    look(&mut world, &mut pool);
    let merged = pool.merge_all(3000);
    pool.device_mut().note(&merged);
    let free = pool.discard_free(0, 9);
    pool.device_mut().note(&free);
    look(&mut world, &mut pool);
    pool.unmount().unwrap();
    disk.digest()
}

/// One mount, until something breaks or it is over.
fn life(world: &mut World<'_>, disk: &mut Recorder, base: &mut Recorder, memory: &mut [u8]) {
    disk.failing = 0;
    if base.geometry.sectors == 0 {
        read_small(world.shape, disk, memory);
    }
    let read_only = world.draw.next(12) == 0;
    let options = MountOptions { read_only, ..MountOptions::default() };
    let mut pool = Pool::mount_on_base(disk, base, memory, &options).unwrap();
    pool.device_mut().failing = world.shape.failing;
    for _ in 0..=world.draw.next(50) {
        world.number += 1;
        step(world, &mut pool);
        let (space, info, stats) = (pool.space(), pool.info(), pool.stats());
        pool.device_mut().note(&(space, space.available(), info, stats));
        if world.draw.next(40) == 0 {
            pool.device_mut().failing = 0;
            look(world, &mut pool);
            pool.device_mut().failing = world.shape.failing;
        }
    }
    if world.draw.next(3) == 0 {
        let _ = pool.unmount().map(|disk| disk.note(&"unmounted"));
    }
}

/// What the small reader shows is what a pool shows that is mounted to read.
fn read_small(shape: &Shape, disk: &mut Recorder, memory: &mut [u8]) {
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    let mut pool = Pool::mount(&mut *disk, memory, &options).unwrap();
    let layers: Vec<_> = pool.layers().map(Result::unwrap).collect();
    let part = |layer: &LayerInfo| (layer.sectors - layer.sectors.min(90), layer.sectors.min(90));
    let size = shape.sector_size as usize;
    let mut read = |id, sector, count| {
        let mut bytes = vec![0; usize::try_from(count).unwrap() * size];
        pool.read(id, sector, &mut bytes).map(|()| bytes)
    };
    let shown: Vec<_> = layers
        .iter()
        .map(|layer| {
            let (last, count) = part(layer);
            (read(layer.id, 0, count).unwrap(), read(layer.id, last, count).unwrap())
        })
        .collect();
    let mut attached = Vec::new();
    for layer in &layers {
        let mut after = None;
        while let Some(next) = pool.next_attachment(layer.id, after).unwrap() {
            let mut bytes = vec![0; usize::try_from(next.sectors).unwrap() * size];
            pool.read(next.id, 0, &mut bytes).unwrap();
            attached.push((layer.name, next, bytes));
            after = Some(next.id);
        }
    }
    pool.abandon();
    let mut reader = Reader::mount(&mut *disk, memory, crc32c).unwrap();
    for (layer, (first, end)) in layers.iter().zip(&shown) {
        let image = reader.find(&layer.name).unwrap().expect("the pool has it");
        assert_eq!((image.id(), image.sectors(), image.length()), (layer.id, layer.sectors, 0));
        for (sector, expected) in [(0, first), (part(layer).0, end)] {
            let mut bytes = vec![0xaa; expected.len()];
            reader.read(&image, sector, &mut bytes).unwrap();
            assert!(bytes == *expected, "{} at {sector}", layer.name);
            reader.device_mut().note_bytes(&bytes);
        }
        let behind = reader.read(&image, layer.sectors, &mut vec![0; size]);
        assert_eq!(behind, Err(cowl::Error::OutOfRange { sectors: layer.sectors }));
    }
    for (owner, info, expected) in attached {
        let owner = reader.find(&owner).unwrap().expect("the pool has it");
        let image = reader.attachment(&owner, &info.name).unwrap().expect("the pool has it");
        assert_eq!((image.id(), image.sectors(), image.length()), (info.id, info.sectors, info.length));
        let mut bytes = vec![0xaa; expected.len()];
        reader.read(&image, 0, &mut bytes).unwrap();
        assert!(bytes == expected, "{} of {owner:?}", info.name);
    }
    assert!(reader.find("nobody").unwrap().is_none());
}

/// Everything that can be seen of a pool, and that a check finds nothing wrong.
fn look(world: &mut World<'_>, pool: &mut Pooled<'_>) {
    let mut findings = Vec::new();
    // From one walk to eight.
    let bits = usize::try_from(world.shape.blocks * if world.shape.growing { 40 } else { 1 }).unwrap();
    let scratch = &mut vec![0; 16 + ((bits / 64) << world.draw.next(4))];
    let checked = pool.check(scratch, true, &mut |finding| findings.push(*finding));
    assert_eq!(findings, [], "after {} operations", world.number);
    let layers: Vec<_> = pool.layers().map(Result::unwrap).collect();
    pool.device_mut().note(&(checked, &layers));
    for layer in &layers {
        let (length, mut text) = ((layer.sectors.min(80) * u64::from(world.shape.sector_size)), [0; 800]);
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        pool.read(layer.id, 0, &mut bytes).unwrap();
        let described = pool.description(layer.id, &mut text).unwrap();
        let freed = pool.what_if_freed(&[layer.id]);
        pool.device_mut().note_bytes(&bytes);
        pool.device_mut().note_bytes(&text[..described]);
        pool.device_mut().note(&freed);
        let mut sector = 0;
        for _ in 0..60 {
            let Ok(extent) = pool.extent(layer.id, sector) else { break };
            pool.device_mut().note(&extent);
            sector = extent.sector + extent.count;
        }
        let mut attachment = None;
        while let Some(next) = pool.next_attachment(layer.id, attachment).unwrap() {
            pool.device_mut().note(&next);
            attachment = Some(next.id);
        }
    }
    if let [first, .., last] = &layers[..] {
        let mut from = 0;
        for _ in 0..60 {
            let Ok(Some(extent)) = pool.diff(first.id, last.id, from) else { break };
            pool.device_mut().note(&extent);
            from = extent.sector + extent.count;
        }
    }
}

/// One call, drawn from all there are.
fn step(world: &mut World<'_>, pool: &mut Pooled<'_>) {
    let layers: Vec<LayerInfo> = pool.layers().filter_map(Result::ok).collect();
    let some = |kind: LayerKind, draw: &mut Draw| {
        let such: Vec<_> = layers.iter().filter(|layer| layer.kind == kind).collect();
        let chosen = such.get(usize::try_from(draw.next(such.len() as u64)).unwrap());
        chosen.map_or((LayerId(9999), 1), |layer| (layer.id, layer.sectors))
    };
    let (volume, length) = some(LayerKind::Volume, &mut world.draw);
    let (snapshot, _) = some(LayerKind::Snapshot, &mut world.draw);
    let sector =
        world.draw.next(length.min(200)) + if world.draw.next(9) == 0 { length.saturating_sub(200) } else { 0 };
    match world.draw.next(30) {
        0..=7 => write(world, pool, volume, sector),
        8 => read(world, pool, if sector.is_multiple_of(2) { volume } else { snapshot }, sector),
        9 => said(pool, |pool| pool.discard(volume, sector, 1 + length / 3)),
        10 => said(pool, |pool| pool.write_zeroes(volume, sector, 5)),
        11..=12 => said(pool, Pool::flush),
        13 => said(pool, Pool::checkpoint),
        14..=15 => transfer(world, pool, volume, sector),
        16..=17 => {
            let budget = 20 + u32::try_from(world.draw.next(400)).unwrap();
            said(pool, |pool| pool.merge_step(budget));
        }
        18 => said(pool, |pool| pool.delete(snapshot)),
        19 if layers.len() > 6 => said(pool, |pool| pool.delete(volume)),
        20 if world.shape.growing => said(pool, Pool::grow),
        _ => on_layers(world, pool, volume, snapshot, &layers),
    }
}

/// A call that changes what layers there are.
fn on_layers(world: &mut World<'_>, pool: &mut Pooled<'_>, volume: LayerId, snapshot: LayerId, layers: &[LayerInfo]) {
    let number = world.number;
    let name = format!("n{}", number % 90);
    let text = "käse ".repeat(usize::try_from(world.draw.next(127)).unwrap());
    let named = Attributes { name: &name, uuid: [number.to_le_bytes()[0]; 16], description: &text, time: number };
    let sectors = 1 + world.draw.next(world.shape.sectors);
    match world.draw.next(if layers.len() > 12 { 8 } else { 12 }) {
        0 => said(pool, |pool| pool.rename(volume, &name)),
        1 => said(pool, |pool| pool.describe(snapshot, &text)),
        2 => said(pool, |pool| pool.resize(volume, sectors)),
        3 => said(pool, |pool| pool.rollback(volume, snapshot, number, None)),
        4 => said(pool, |pool| pool.discard_free(number, 3)),
        5 => said(pool, |pool| pool.find(&name)),
        6 => attach(world, pool, volume, &named),
        7 => said(pool, |pool| pool.rollback(volume, snapshot, number, Some(&named))),
        8 => said(pool, |pool| pool.clone_snapshot(snapshot, &named, number.is_multiple_of(4))),
        9 => {
            let flags = [LayerFlags::empty(), LayerFlags::INTEGRITY, LayerFlags::GUARANTEED];
            let chosen = flags[usize::try_from(world.draw.next(3)).unwrap()];
            said(pool, |pool| pool.create(&named, sectors, chosen));
        }
        10 => said(pool, |pool| {
            let other = layers.iter().find(|layer| layer.kind == LayerKind::Volume && layer.id != volume);
            let of = |volume, attributes| SnapshotOf { volume, attributes, attachments: &[] };
            let second = Attributes { name: "second", ..named };
            match other {
                Some(other) => pool.snapshot_all(&[of(volume, named), of(other.id, second)]),
                None => pool.snapshot(volume, &named),
            }
        }),
        _ => said(pool, |pool| pool.snapshot(volume, &named)),
    }
}

/// Stages an attachment, fills it and gives it to a layer.
fn attach(world: &mut World<'_>, pool: &mut Pooled<'_>, layer: LayerId, named: &Attributes<'_>) {
    let length = 1 + world.draw.next(5000);
    let Some(staged) = note(pool, |pool| pool.stage_attachment(named, length)) else { return };
    write(world, pool, staged, 0);
    if world.draw.next(4) > 0 {
        note(pool, |pool| pool.attach(layer, staged));
    }
}

fn write(world: &mut World<'_>, pool: &mut Pooled<'_>, volume: LayerId, sector: u64) {
    let most = if world.draw.next(6) == 0 { 60 } else { 9 };
    let count = 1 + world.draw.next(most);
    let bytes = vec![world.number.to_le_bytes()[0]; usize::try_from(count).unwrap() * world.shape.sector_size as usize];
    note(pool, |pool| pool.write(volume, sector, &bytes));
}

fn read(world: &mut World<'_>, pool: &mut Pooled<'_>, layer: LayerId, sector: u64) {
    let count = usize::try_from(1 + world.draw.next(40)).unwrap();
    let mut bytes = vec![0; count * world.shape.sector_size as usize];
    if note(pool, |pool| pool.read(layer, sector, &mut bytes)).is_some() {
        pool.device_mut().note_bytes(&bytes);
    }
}

/// A write that is done outside the pool, beside a read of the same and a flush.
fn transfer(world: &mut World<'_>, pool: &mut Pooled<'_>, volume: LayerId, sector: u64) {
    let reading = note(pool, |pool| pool.resolve(volume, sector, 20)).flatten();
    let writing = note(pool, |pool| pool.prepare(volume, sector, 1 + sector % 11)).flatten();
    if let Some(writing) = writing {
        if world.draw.next(2) == 0 {
            note(pool, |pool| pool.write(volume, sector, &vec![1; world.shape.sector_size as usize]));
        }
        if world.draw.next(4) == 0 {
            pool.cancel(writing);
        } else if let Ok(sums) = fill(world, pool.device_mut(), &writing) {
            note(pool, |pool| pool.commit(writing, &sums));
        } else {
            pool.cancel(writing);
        }
    }
    if let Some(reading) = reading {
        pool.device_mut().note(&reading.extent());
        note(pool, Pool::checkpoint);
        pool.release(reading);
    }
    let under_way = pool.transfers();
    pool.device_mut().note(&under_way);
}

/// Writes what was prepared to where it belongs; the checksums that the pool wants to know.
fn fill(world: &World<'_>, disk: &mut Recorder, writing: &Writing) -> Result<Vec<u32>, Failed> {
    let (size, per_block) =
        (world.shape.sector_size as usize, u64::from(world.shape.block_size / world.shape.sector_size));
    let bytes = vec![world.number.to_le_bytes()[0]; usize::try_from(writing.sectors()).unwrap() * size];
    disk.note(&(writing.sector(), writing.sectors(), writing.checksums()));
    disk.write(writing.sector(), &bytes)?;
    let mut block = vec![0; world.shape.block_size as usize];
    let first = writing.sector() / per_block;
    (first..first + writing.checksums())
        .map(|number| disk.read(number * per_block, &mut block).map(|()| crc32c(0, &block)))
        .collect()
}

/// Calls the pool, and its answer is taken down and no more.
fn said<'w, T: std::fmt::Debug>(
    pool: &mut Pooled<'w>,
    call: impl FnOnce(&mut Pooled<'w>) -> Result<T, cowl::Error<Failed>>,
) {
    note(pool, call);
}

/// Calls the pool and takes its answer down.
fn note<'w, T: std::fmt::Debug>(
    pool: &mut Pooled<'w>,
    call: impl FnOnce(&mut Pooled<'w>) -> Result<T, cowl::Error<Failed>>,
) -> Option<T> {
    let answer = call(pool);
    pool.device_mut().note(&answer);
    answer.ok()
}
