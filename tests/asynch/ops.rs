//! Operations on a pool of either colour. Macros, because nothing else can be of both.

use cowl::LayerFlags;
use cowl_host::sim::Rng;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Create { name: &'static str, sectors: u64, flags: LayerFlags },
    Write { layer: u32, sector: u64, count: u64, with: u8 },
    Read { layer: u32, sector: u64, count: u64 },
    Discard { layer: u32, sector: u64, count: u64 },
    Zeroes { layer: u32, sector: u64, count: u64 },
    Flush,
    Checkpoint,
    Snapshot { volume: u32, name: &'static str },
    Rollback { volume: u32, snapshot: u32 },
    Clone { snapshot: u32, name: &'static str },
    Delete { layer: u32 },
    Rename { layer: u32, name: &'static str },
    Describe { layer: u32, text: &'static str },
    Resize { volume: u32, sectors: u64 },
    Merge { budget: u32 },
    Attach { layer: u32, length: u64 },
    Diff { a: u32, b: u32 },
    Extent { layer: u32, sector: u64 },
    WhatIf { layer: u32 },
    Check,
    Transfer { layer: u32, sector: u64, count: u64, with: u8 },
    DiscardFree,
    Grow,
    Stream { layer: u32, position: u64, with: u8 },
    Keep { volume: u32, snapshot: u32, name: &'static str },
    SnapshotAll { volumes: [u32; 2], name: &'static str },
    MergeAll { budget: u32 },
    Halves,
    Layer { layer: u32 },
    Find { name: &'static str },
    NextRecord { after: u32 },
    NextLayer { after: u32 },
    NextAttachment { layer: u32 },
    Description { layer: u32 },
    Device { layer: u32, sector: u64, with: u8 },
    Resolve { layer: u32, sector: u64, count: u64 },
    Steps { layer: u32 },
    Watch,
}

impl Op {
    /// What it is, without what it is given.
    pub fn name(&self) -> String {
        format!("{self:?}").split_whitespace().next().unwrap_or_default().to_owned()
    }
}

const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

pub fn random(rng: &mut Rng, flags: LayerFlags) -> Op {
    let mut small = |bound: u8| (rng.below(u64::from(bound)) & 0xff) as u8;
    let (layer, other, budget, with) =
        (1 + u32::from(small(12)), 1 + u32::from(small(12)), 10 + 5 * u32::from(small(60)), small(255));
    let name = NAMES[usize::from(small(12))];
    let (sector, count) = (rng.below(70), 1 + rng.below(20));
    match rng.below(46) {
        0 | 1 => Op::Create { name, sectors: 20 + rng.below(100), flags },
        2..8 => Op::Write { layer, sector, count, with },
        8 | 9 => Op::Read { layer, sector, count },
        10 => Op::Discard { layer, sector, count },
        11 => Op::Zeroes { layer, sector, count },
        12 | 13 => Op::Flush,
        14 => Op::Checkpoint,
        15 | 16 => Op::Snapshot { volume: layer, name },
        17 => Op::Rollback { volume: layer, snapshot: other },
        18 => Op::Clone { snapshot: layer, name },
        19 => Op::Delete { layer },
        20 => Op::Rename { layer, name },
        21 => Op::Describe { layer, text: "a description" },
        22 => Op::Resize { volume: layer, sectors: 10 + rng.below(200) },
        23 => Op::Merge { budget },
        24 => Op::Attach { layer, length: rng.below(3000) },
        25 => Op::Diff { a: layer, b: other },
        26 => Op::Extent { layer, sector },
        27 => Op::WhatIf { layer },
        28 => Op::Check,
        29 => Op::Transfer { layer, sector: sector / 8 * 8, count: 8, with },
        30 => Op::DiscardFree,
        31 => Op::Stream { layer, position: rng.below(9000), with },
        32 => Op::Keep { volume: layer, snapshot: other, name },
        33 => Op::SnapshotAll { volumes: [layer, other], name },
        34 => Op::MergeAll { budget },
        35 | 36 => Op::Halves,
        37 => Op::Layer { layer },
        38 => Op::Find { name },
        39 => Op::NextRecord { after: layer },
        40 => Op::NextLayer { after: layer },
        41 => Op::NextAttachment { layer },
        42 => Op::Description { layer },
        43 => Op::Device { layer, sector, with },
        44 => Op::Resolve { layer, sector, count },
        _ => {
            if with < 128 {
                Op::Steps { layer }
            } else {
                Op::Watch
            }
        }
    }
}

/// Does it, and says what came of it.
macro_rules! apply {
    ($pool:expr, $op:expr $(, $wait:tt)?) => {{
        use cowl::{Attributes, LayerId, SnapshotOf};
        use $crate::ops::{Op, tried};
        let named = |name| Attributes { name, ..Attributes::default() };
        let sectors = |count: u64, with: u8| vec![with; usize::try_from(count).unwrap() * 512];
        match *$op {
            Op::Create { name, sectors, flags } => {
                $pool.create(&named(name), sectors, flags)$(.$wait)?.map(|id| format!("{id:?}"))
            }
            Op::Write { layer, sector, count, with } => {
                $pool.write(LayerId(layer), sector, &sectors(count, with))$(.$wait)?.map(|()| String::new())
            }
            Op::Read { layer, sector, count } => {
                let mut buffer = sectors(count, 0xee);
                let read = $pool.read(LayerId(layer), sector, &mut buffer)$(.$wait)?;
                read.map(|()| format!("{:x}", cowl::crc32c(0, &buffer)))
            }
            Op::Discard { layer, sector, count } => {
                $pool.discard(LayerId(layer), sector, count)$(.$wait)?.map(|()| String::new())
            }
            Op::Zeroes { layer, sector, count } => {
                $pool.write_zeroes(LayerId(layer), sector, count)$(.$wait)?.map(|()| String::new())
            }
            Op::Flush => $pool.flush()$(.$wait)?.map(|()| String::new()),
            Op::Checkpoint => $pool.checkpoint()$(.$wait)?.map(|()| String::new()),
            Op::Snapshot { volume, name } => {
                $pool.snapshot(LayerId(volume), &named(name))$(.$wait)?.map(|id| format!("{id:?}"))
            }
            Op::Rollback { volume, snapshot } => {
                let kept = $pool.rollback(LayerId(volume), LayerId(snapshot), 1, None)$(.$wait)?;
                kept.map(|kept| format!("{kept:?}"))
            }
            Op::Clone { snapshot, name } => {
                let clone = $pool.clone_snapshot(LayerId(snapshot), &named(name), false)$(.$wait)?;
                clone.map(|id| format!("{id:?}"))
            }
            Op::Delete { layer } => $pool.delete(LayerId(layer))$(.$wait)?.map(|()| String::new()),
            Op::Rename { layer, name } => $pool.rename(LayerId(layer), name)$(.$wait)?.map(|()| String::new()),
            Op::Describe { layer, text } => $pool.describe(LayerId(layer), text)$(.$wait)?.map(|()| String::new()),
            Op::Resize { volume, sectors } => {
                $pool.resize(LayerId(volume), sectors)$(.$wait)?.map(|()| String::new())
            }
            Op::Merge { budget } => $pool.merge_step(budget)$(.$wait)?.map(|done| format!("{done:?}")),
            Op::Attach { layer, length } => match $pool.stage_attachment(&named("x"), length)$(.$wait)? {
                Ok(staged) => $pool.attach(LayerId(layer), staged)$(.$wait)?.map(|()| format!("{staged:?}")),
                Err(error) => Err(error),
            },
            Op::Diff { a, b } => $pool.diff(LayerId(a), LayerId(b), 0)$(.$wait)?.map(|found| format!("{found:?}")),
            Op::Extent { layer, sector } => {
                $pool.extent(LayerId(layer), sector)$(.$wait)?.map(|extent| format!("{extent:?}"))
            }
            Op::WhatIf { layer } => {
                $pool.what_if_freed(&[LayerId(layer)])$(.$wait)?.map(|freed| format!("{freed:?}"))
            }
            Op::Check => {
                let mut findings = Vec::new();
                let mut bits = [0; 1024];
                let checked = $pool.check(&mut bits, true, &mut |finding| findings.push(*finding))$(.$wait)?;
                checked.map(|checked| format!("{checked:?} {findings:?}"))
            }
            Op::Transfer { layer, sector, count, with } => {
                match $pool.prepare(LayerId(layer), sector, count)$(.$wait)? {
                    Ok(Some(writing)) => {
                        // Its owner moves the data; here it is not moved at all.
                        let size = usize::try_from($pool.info().block_size).unwrap();
                        let sum = $pool.checksum()(0, &vec![with; size]);
                        let sums = vec![sum; usize::try_from(writing.checksums()).unwrap()];
                        let told = format!("{writing:?}");
                        if told.contains("Fresh") {
                            $pool.cancel(writing);
                            Ok(told)
                        } else {
                            $pool.commit(writing, &sums)$(.$wait)?.map(|()| told)
                        }
                    }
                    other => other.map(|other| format!("{other:?}")),
                }
            }
            Op::DiscardFree => $pool.discard_free(0, 3)$(.$wait)?.map(|next| format!("{next:?}")),
            Op::Grow => $pool.grow()$(.$wait)?.map(|total| format!("{total}")),
            Op::Stream { layer, position, with } => tried!({
                let mut cursor = $pool.cursor(LayerId(layer))$(.$wait)??;
                cursor.seek(SeekFrom::Start(position))$(.$wait)??;
                let mut moved = 0;
                for _ in 0..2 {
                    moved += cursor.write(&[with; 700])$(.$wait)??;
                }
                let mut bytes = [0; 600];
                cursor.seek(SeekFrom::Current(-600))$(.$wait)??;
                let read = cursor.read(&mut bytes)$(.$wait)??;
                cursor.flush()$(.$wait)??;
                Ok(format!("{moved} {read} {:x}", cowl::crc32c(0, &bytes)))
            } $(, $wait)?),
            Op::Keep { volume, snapshot, name } => {
                let keep = named(name);
                let kept = $pool.rollback(LayerId(volume), LayerId(snapshot), 1, Some(&keep))$(.$wait)?;
                kept.map(|kept| format!("{kept:?}"))
            }
            Op::SnapshotAll { volumes: [first, second], name } => tried!({
                let staged = $pool.stage_attachment(&named("y"), 700)$(.$wait)??;
                $pool.write(staged, 0, &sectors(2, 0x99))$(.$wait)??;
                let all = [(first, name, &[staged] as &[LayerId]), (second, "z", &[])];
                let all = all.map(|(volume, name, attachments)| SnapshotOf {
                    volume: LayerId(volume),
                    attributes: named(name),
                    attachments,
                });
                $pool.snapshot_all(&all)$(.$wait)?.map(|id| format!("{id:?}"))
            } $(, $wait)?),
            Op::MergeAll { budget } => $pool.merge_all(budget)$(.$wait)?.map(|()| String::new()),
            // Who has no answer of the device has nothing to tell the pool.
            Op::Halves => tried!({
                if let Some(flushing) = $pool.begin_flush()$(.$wait)?? {
                    $pool.device_mut().flush()$(.$wait)?.map_err(cowl::Error::Device)?;
                    $pool.end_flush(flushing, Ok(()))?;
                }
                Ok(String::new())
            } $(, $wait)?),
            Op::Layer { layer } => $pool.layer(LayerId(layer))$(.$wait)?.map(|info| format!("{info:?}")),
            Op::Find { name } => $pool.find(name)$(.$wait)?.map(|info| format!("{info:?}")),
            Op::NextRecord { after } => {
                $pool.next_record(Some(LayerId(after)))$(.$wait)?.map(|info| format!("{info:?}"))
            }
            Op::NextLayer { after } => {
                $pool.next_layer(Some(LayerId(after)))$(.$wait)?.map(|info| format!("{info:?}"))
            }
            Op::NextAttachment { layer } => {
                $pool.next_attachment(LayerId(layer), None)$(.$wait)?.map(|info| format!("{info:?}"))
            }
            Op::Description { layer } => {
                let mut text = [0; 800];
                let length = $pool.description(LayerId(layer), &mut text)$(.$wait)?;
                length.map(|length| format!("{length} {:x}", cowl::crc32c(0, &text)))
            }
            Op::Device { layer, sector, with } => tried!({
                let mut device = $pool.volume_device(LayerId(layer))$(.$wait)??;
                let mut bytes = [0; 1024];
                device.write(sector, &[with; 1024])$(.$wait)??;
                device.discard(sector + 2, 5)$(.$wait)??;
                device.read(sector + 1, &mut bytes)$(.$wait)??;
                device.flush()$(.$wait)??;
                Ok(format!("{:x}", cowl::crc32c(0, &bytes)))
            } $(, $wait)?),
            Op::Resolve { layer, sector, count } => {
                let planned = $pool.resolve(LayerId(layer), sector, count)$(.$wait)?;
                planned.map(|reading| {
                    let told = format!("{reading:?}");
                    reading.map(|reading| $pool.release(reading));
                    told
                })
            }
            Op::Steps { layer } => tried!({
                let set = [LayerId(layer)];
                let mut question = $pool.what_if(&set)$(.$wait)??;
                loop {
                    if let Some(freed) = question.step(&mut $pool, 3)$(.$wait)?? {
                        break Ok(format!("{freed:?}"));
                    }
                }
            } $(, $wait)?),
            Op::Watch => {
                let mut told = 0;
                let (mut bits, mut watch) = ([0; 1024], |_, _| told += 1);
                let checked = $pool.check_watched(&mut bits, false, &mut |_| {}, &mut watch)$(.$wait)?;
                checked.map(|checked| format!("{checked:?} {told}"))
            }
        }
    }};
}

/// Several calls, up to the first error; the traits of devices and streams are those of the colour.
macro_rules! tried {
    ($calls:block) => {
        (|| -> Result<String, cowl::Error<$crate::disk::Failed>> {
            #[allow(unused_imports)]
            use {
                cowl::BlockDevice as _,
                embedded_io::{Read as _, Seek as _, SeekFrom, Write as _},
            };
            $calls
        })()
    };
    ($calls:block, $wait:tt) => {{
        let done: Result<String, cowl::Error<$crate::disk::Failed>> = async {
            #[allow(unused_imports)]
            use {
                cowl::asynch::BlockDevice as _,
                embedded_io_async::{Read as _, Seek as _, SeekFrom, Write as _},
            };
            $calls
        }
        .$wait;
        done
    }};
}

/// Every layer with what it holds.
macro_rules! listing {
    ($pool:expr $(, $wait:tt)?) => {{
        let mut found = Vec::new();
        let mut after = None;
        while let Some(info) = $pool.next_layer(after)$(.$wait)?.unwrap() {
            let mut bytes = vec![0; usize::try_from(info.sectors).unwrap() * 512];
            $pool.read(info.id, 0, &mut bytes)$(.$wait)?.unwrap();
            let mut text = [0; 800];
            let length = $pool.description(info.id, &mut text)$(.$wait)?.unwrap();
            let attached = $pool.next_attachment(info.id, None)$(.$wait)?.unwrap().map(|info| info.id);
            let values: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
            let sum = cowl::crc32c(0, &bytes);
            found.push((info.id, info.name, info.kind, info.flags, info.parent, length, attached, sum, values));
            after = Some(info.id);
        }
        found
    }};
}

pub(crate) use {apply, listing, tried};
