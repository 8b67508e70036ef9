//! `hostile_image`: cowl on a device whose content somebody else has chosen.

use std::convert::Infallible;

use cowl::{Attributes, Error, LayerId, LayerInfo, Pool, Reader, SnapshotOf};

use super::{
    flat::FlatDisk,
    input::Input,
    sample::{Sample, open},
};

/// Device calls of one verb on a sample, at most. Far more than any verb needs on an undamaged one, and an end in any case.
const CALLS: u64 = 300_000;
/// The first byte has this bit: the small reader reads beside the pool, at each mount.
const COMPARE: u8 = 0x80;
/// Changes of the image, at most.
const EDITS: u8 = 8;
/// Steps of one verb, for verbs that are called again and again.
const AGAIN: usize = 16;

/// Changes a pool's bytes, or fills a blank device, and then does whatever the bytes say with it. Every verb must come to an end
/// and give an answer or a typed error.
pub fn hostile_image(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let sample = Sample::of(choice);
    for _ in 0..input.byte() % (EDITS + 1) {
        edit(&sample, &mut input);
    }
    let mut workspace = vec![0; sample.workspace];
    let mut beside = vec![0; sample.workspace];
    let mut story = Vec::new();
    while input.goes_on() {
        let compares = choice & COMPARE != 0;
        let reader =
            compares.then(|| Reader::mount(sample.disk.clone(), &mut beside, sample.checksum)).and_then(Result::ok);
        let Ok(mut pool) = open(&sample.disk, &mut workspace, sample.checksum) else { return };
        if let Some(reader) = reader {
            compare(&mut pool, reader);
        }
        let calls = sample.disk.take_calls();
        assert!(calls < CALLS, "the reader and the pool made {calls} device calls");
        let mut mounted = true;
        while mounted && input.goes_on() {
            let verb = input.byte() % VERBS;
            story.push(verb);
            mounted = verb != 0;
            // Only that there is an answer counts.
            let _ = one(&mut pool, verb, &mut input);
            let calls = sample.disk.take_calls();
            assert!(calls < CALLS, "the last of the verbs {story:?} made {calls} device calls");
        }
    }
}

/// What the pool and the small reader both can read is the same.
fn compare(pool: &mut Pool<'_, FlatDisk>, mut reader: Reader<'_, FlatDisk>) {
    // There and back: what is in memory of one layer must not be taken for another's.
    for name in ["volume", "first", "other", "first", "volume"] {
        let (Ok(image), Ok(info)) = (reader.find(name), pool.find(name)) else { continue };
        assert_eq!(image.map(|image| (image.id(), image.sectors())), info.map(|info| (info.id, info.sectors)));
        let Some(image) = image else { continue };
        let _ = reader.attachment(&image, "blob");
        for sector in [0, 7, 32, 66] {
            let (mut one, mut other) = ([1; 2048], [2; 2048]);
            if reader.read(&image, sector, &mut one).is_ok() && pool.read(image.id(), sector, &mut other).is_ok() {
                assert!(one == other, "sector {sector} of {name}");
            }
        }
    }
}

/// Changes a few bytes of a sector in use.
fn edit(sample: &Sample, input: &mut Input<'_>) {
    let pick = |input: &mut Input<'_>| sample.in_use[usize::from(input.short()) % sample.in_use.len()];
    let sector = pick(input);
    let (kind, place) = (input.byte(), usize::from(input.byte()) * 2 + usize::from(input.byte() & 1));
    let value = |input: &mut Input<'_>| input.long().to_le_bytes();
    match kind % 8 {
        0 => sample.disk.patch(sector, place, &[input.byte()]),
        1 => sample.disk.patch(sector, place, &value(input)[..2]),
        2 => sample.disk.patch(sector, place, &value(input)[..4]),
        3 => sample.disk.patch(sector, place, &value(input)),
        // An entry that leads to any block in use, the one that holds it included.
        4 | 5 => {
            let block = pick(input) as u64 / sample.sectors_in_block;
            sample.disk.patch(sector, place / 16 * 16, &block.to_le_bytes()[..6]);
        }
        // What was to go there went here.
        6 => {
            let bytes = sample.disk.sector(pick(input));
            sample.disk.patch(sector, 0, &bytes);
        }
        _ => {
            let byte = input.byte();
            sample.disk.patch(sector, place, &vec![byte; 1 + usize::from(input.byte())]);
        }
    }
}

const VERBS: u8 = 28;

fn layer(input: &mut Input<'_>) -> LayerId {
    LayerId(u32::from(input.byte()) % 16)
}

/// One verb; 0 ends the mount.
fn one(pool: &mut Pool<'_, FlatDisk>, verb: u8, input: &mut Input<'_>) -> Result<(), Error<Infallible>> {
    let named = |name| Attributes { name, description: "new", ..Attributes::default() };
    let sector = u64::from(input.byte());
    match verb {
        0 | 13 => pool.checkpoint(),
        1..=3 => look(pool, verb, input),
        4..=7 => scan(pool, verb, input),
        8 => pool.write(layer(input), sector, &[0x5a; 1024]),
        9 => pool.write(layer(input), sector, &[0x5b; 512]),
        10 => pool.write_zeroes(layer(input), sector, u64::from(input.byte())),
        11 => pool.discard(layer(input), sector, u64::from(input.byte())),
        12 => pool.flush(),
        14 => pool.merge_step(u32::from(input.short())).map(drop),
        15 => pool.merge_step(5000).map(drop),
        16 => pool.snapshot(layer(input), &named("new snapshot")).map(drop),
        17 => pool.rollback(layer(input), layer(input), 1, None).map(drop),
        18 => pool.rollback(layer(input), layer(input), 1, Some(&named("kept"))).map(drop),
        19 => pool.clone_snapshot(layer(input), &named("new clone"), sector & 1 != 0).map(drop),
        20 => pool.delete(layer(input)),
        21 => pool.resize(layer(input), input.long() >> (sector % 64)),
        22 => pool
            .create(&named("new volume"), 1 + sector, cowl::LayerFlags::from_bits_retain(u32::from(input.byte())))
            .map(drop),
        23 => pool.rename(layer(input), "renamed"),
        24 => pool.describe(layer(input), "described"),
        25 => attachments(pool, input),
        26 => pool.grow().map(drop),
        _ => pool.discard_free(sector, 8).map(drop),
    }
}

/// Verbs that read little.
fn look(pool: &mut Pool<'_, FlatDisk>, verb: u8, input: &mut Input<'_>) -> Result<(), Error<Infallible>> {
    let id = layer(input);
    match verb {
        1 => {
            let mut buffer = [0; 2048];
            pool.read(id, input.long() >> (input.byte() % 64), &mut buffer)
        }
        2 => {
            let mut sector = u64::from(input.byte());
            for _ in 0..AGAIN {
                let extent = pool.extent(id, sector)?;
                assert!(extent.count > 0 && extent.sector == sector, "{extent:?}");
                sector += extent.count;
            }
            Ok(())
        }
        _ => {
            pool.find("volume")?;
            pool.cursor(id)?;
            pool.volume_device(id).map(drop)
        }
    }
}

/// Verbs that read a lot.
fn scan(pool: &mut Pool<'_, FlatDisk>, verb: u8, input: &mut Input<'_>) -> Result<(), Error<Infallible>> {
    match verb {
        4 => list(pool),
        5 => {
            let mut scratch = [0; 64];
            let size = 64 - usize::from(input.byte() & 1);
            pool.check(&mut scratch[..size], true, &mut |_| {}).map(drop)
        }
        6 => {
            let (a, b) = (layer(input), layer(input));
            let mut from = u64::from(input.byte());
            for _ in 0..AGAIN {
                let Some(extent) = pool.diff(a, b, from)? else { break };
                assert!(extent.count > 0 && extent.sector >= from, "{extent:?} from {from}");
                from = extent.sector + extent.count;
            }
            Ok(())
        }
        _ => {
            let set = [layer(input), layer(input)];
            let size = usize::from(input.byte()) % 3;
            pool.what_if_freed(&set[..size]).map(drop)
        }
    }
}

fn list(pool: &mut Pool<'_, FlatDisk>) -> Result<(), Error<Infallible>> {
    let layers: Result<Vec<LayerInfo>, _> = pool.layers().collect();
    let mut text = [0; 800];
    for info in layers? {
        pool.description(info.id, &mut text)?;
        let mut attachment = None;
        for _ in 0..AGAIN {
            let Some(found) = pool.next_attachment(info.id, attachment)? else { break };
            attachment = Some(found.id);
        }
    }
    let mut record = None;
    while let Some(found) = pool.next_record(record)? {
        record = Some(found.id);
    }
    Ok(())
}

fn attachments(pool: &mut Pool<'_, FlatDisk>, input: &mut Input<'_>) -> Result<(), Error<Infallible>> {
    let named = |name| Attributes { name, ..Attributes::default() };
    let staged = pool.stage_attachment(&named("blob"), u64::from(input.short()))?;
    pool.write(staged, 0, &[1; 512])?;
    if input.byte() & 1 != 0 {
        return pool.attach(layer(input), staged);
    }
    let attributes = named("with a blob");
    let of = [SnapshotOf { volume: layer(input), attributes, attachments: &[staged] }];
    pool.snapshot_all(&of).map(drop)
}
