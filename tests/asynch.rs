//! `cowl::asynch` does call for call what the blocking core does, and a future that is dropped leaves what a failed device leaves.

#[path = "asynch/bad.rs"]
mod bad;
#[path = "asynch/disk.rs"]
mod disk;
#[path = "asynch/ends.rs"]
mod ends;
#[path = "asynch/ops.rs"]
mod ops;
#[path = "asynch/reader.rs"]
mod reader;

use std::{
    collections::BTreeMap,
    pin::pin,
    task::{Context, Poll, Waker},
};

use cowl::{Attributes, Error, FormatOptions, LayerFlags, Limits, MountOptions, Pool, asynch, workspace_size};
use cowl_host::sim::Rng;
use disk::{Call, Disk, Stop};
use ops::{Op, apply, listing, random};

const OPTIONS: MountOptions = MountOptions { read_only: false, checksum: cowl::crc32c };

/// Goes on until the future is done, or stands still: then `None`, and it is dropped.
fn run<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

fn ready<F: Future>(future: F) -> F::Output {
    run(future).expect("nothing is to be waited for")
}

#[derive(Clone, Copy)]
struct Shape {
    block_size: u32,
    blocks: u64,
    pending: u32,
    flags: LayerFlags,
    base: bool,
}

const SMALL: Shape = Shape { block_size: 512, blocks: 700, pending: 6, flags: LayerFlags::empty(), base: false };
const SHAPES: [Shape; 5] = [
    SMALL,
    Shape { blocks: 420, ..SMALL },
    Shape { flags: LayerFlags::INTEGRITY, ..SMALL },
    Shape { flags: LayerFlags::GUARANTEED, base: true, ..SMALL },
    Shape { block_size: 4096, blocks: 300, pending: 20, ..SMALL },
];

impl Shape {
    fn workspace(&self) -> Vec<u8> {
        let limits = Limits { layers: 40, pending: self.pending, ..Limits::new(self.block_size, self.blocks) };
        vec![0; workspace_size(self.block_size, limits)]
    }

    fn disk(&self) -> Disk {
        Disk::new(usize::try_from(self.blocks).unwrap() * self.block_size as usize)
    }

    fn base(&self) -> Disk {
        let mut base = Disk::new(if self.base { 30 * 512 } else { 0 });
        base.bytes.fill(0xba);
        base
    }

    fn options(&self) -> FormatOptions {
        FormatOptions { pending: self.pending, journal_units: 5, ..FormatOptions::new(self.block_size, [7; 16]) }
    }
}

/// One life of a pool, in several mounts: what every call answered, and every device call.
fn blocking(shape: &Shape, seed: u64) -> (Vec<String>, Vec<Call>, Vec<u8>) {
    let (mut disk, mut base, mut memory) = (shape.disk(), shape.base(), shape.workspace());
    let (mut rng, mut told) = (Rng::new(seed), Vec::new());
    Pool::format_on_base(&mut disk, &mut base, &mut memory, &shape.options()).unwrap();
    for part in 0..4 {
        let mut pool = Pool::mount_on_base(&mut disk, &mut base, &mut memory, &OPTIONS).unwrap();
        for _ in 0..60 {
            let op = random(&mut rng, shape.flags);
            told.push(format!("{op:?}: {:?}", apply!(pool, &op)));
        }
        told.push(format!("{:?} {:?} {:?}", listing!(pool), pool.info(), pool.stats()));
        if part % 2 == 0 {
            pool.unmount().unwrap();
        }
    }
    (told, disk.calls, disk.bytes)
}

async fn waiting(shape: &Shape, seed: u64) -> (Vec<String>, Vec<Call>, Vec<u8>) {
    let (mut disk, mut base, mut memory) = (shape.disk(), shape.base(), shape.workspace());
    let (mut rng, mut told) = (Rng::new(seed), Vec::new());
    asynch::Pool::format_on_base(&mut disk, &mut base, &mut memory, &shape.options()).await.unwrap();
    for part in 0..4 {
        let mounted = asynch::Pool::mount_on_base(&mut disk, &mut base, &mut memory, &OPTIONS).await;
        let mut pool = mounted.unwrap();
        for _ in 0..60 {
            let op = random(&mut rng, shape.flags);
            told.push(format!("{op:?}: {:?}", apply!(pool, &op, await)));
        }
        told.push(format!("{:?} {:?} {:?}", listing!(pool, await), pool.info(), pool.stats()));
        if part % 2 == 0 {
            pool.unmount().await.unwrap();
        }
    }
    (told, disk.calls, disk.bytes)
}

#[test]
fn every_call_asks_the_same_of_the_device_and_answers_the_same() {
    let mut succeeded = 0;
    for (number, shape) in SHAPES.iter().enumerate() {
        for seed in 0..20 {
            let (told, calls, bytes) = blocking(shape, seed);
            let (told_too, calls_too, bytes_too) = ready(waiting(shape, seed));
            for (there, here) in told.iter().zip(&told_too) {
                assert_eq!(there, here, "shape {number}, seed {seed}");
            }
            assert!(calls == calls_too && bytes == bytes_too, "shape {number}, seed {seed}");
            succeeded += told.iter().filter(|told| told.contains(": Ok")).count();
        }
    }
    assert!(succeeded > 8_000, "{succeeded} calls had success");
}

/// A pool with a bit of everything, some of it not flushed: the disk, and the operations that lead there after the mount.
fn prepared(shape: &Shape) -> (Disk, Disk, Vec<Op>) {
    let (mut disk, mut base, mut memory) = (shape.disk(), shape.base(), shape.workspace());
    Pool::format_on_base(&mut disk, &mut base, &mut memory, &shape.options()).unwrap();
    let mut pool = Pool::mount_on_base(&mut disk, &mut base, &mut memory, &OPTIONS).unwrap();
    let first = [
        Op::Create { name: "v", sectors: 80, flags: shape.flags },
        Op::Write { layer: 1, sector: 0, count: 40, with: 1 },
        Op::Snapshot { volume: 1, name: "s" },
        Op::Write { layer: 1, sector: 10, count: 8, with: 2 },
        Op::Clone { snapshot: 2, name: "c" },
        Op::Write { layer: 3, sector: 20, count: 3, with: 3 },
        Op::Snapshot { volume: 3, name: "t" },
        Op::Snapshot { volume: 1, name: "u" },
        Op::Write { layer: 1, sector: 12, count: 20, with: 7 },
        Op::Delete { layer: 2 },
        Op::Delete { layer: 5 },
        Op::Attach { layer: 4, length: 600 },
        Op::Describe { layer: 4, text: "a description" },
    ];
    for op in &first {
        apply!(pool, op).unwrap_or_else(|why| panic!("{op:?}: {why:?}"));
    }
    pool.unmount().unwrap();
    disk.calls.clear();
    let then = vec![
        Op::Write { layer: 1, sector: 30, count: 2, with: 4 },
        Op::Flush,
        Op::Write { layer: 3, sector: 31, count: 1, with: 5 },
        Op::Write { layer: 1, sector: 50, count: 1, with: 6 },
    ];
    (disk, base, then)
}

/// Every call that may be given up.
fn candidates(flags: LayerFlags) -> Vec<Op> {
    vec![
        Op::Write { layer: 1, sector: 30, count: 20, with: 9 },
        Op::Write { layer: 1, sector: 0, count: 1, with: 9 },
        Op::Read { layer: 1, sector: 0, count: 60 },
        Op::Discard { layer: 1, sector: 5, count: 30 },
        Op::Zeroes { layer: 3, sector: 21, count: 3 },
        Op::Flush,
        Op::Checkpoint,
        Op::Create { name: "new", sectors: 30, flags },
        Op::Snapshot { volume: 1, name: "new" },
        Op::Rollback { volume: 3, snapshot: 4 },
        Op::Clone { snapshot: 4, name: "new" },
        Op::Delete { layer: 4 },
        Op::Rename { layer: 1, name: "new" },
        Op::Describe { layer: 1, text: "new" },
        Op::Resize { volume: 1, sectors: 20 },
        Op::Resize { volume: 3, sectors: 4000 },
        Op::Merge { budget: 400 },
        Op::Attach { layer: 3, length: 700 },
        Op::Diff { a: 4, b: 3 },
        Op::Extent { layer: 3, sector: 8 },
        Op::WhatIf { layer: 4 },
        Op::Check,
        Op::Transfer { layer: 1, sector: 16, count: 16, with: 8 },
        Op::DiscardFree,
        Op::Grow,
        Op::Stream { layer: 1, position: 700, with: 8 },
        Op::Keep { volume: 3, snapshot: 4, name: "kept" },
        Op::SnapshotAll { volumes: [1, 3], name: "new" },
        Op::MergeAll { budget: 400 },
        Op::Halves,
        Op::Layer { layer: 4 },
        Op::Find { name: "t" },
        Op::NextRecord { after: 3 },
        Op::NextLayer { after: 3 },
        Op::NextAttachment { layer: 4 },
        Op::Description { layer: 4 },
        Op::Device { layer: 3, sector: 9, with: 8 },
        Op::Resolve { layer: 3, sector: 20, count: 3 },
        Op::Steps { layer: 4 },
        Op::Watch,
    ]
}

/// What is there after the next mount, by the blocking core; everything is sound.
fn remounted(shape: &Shape, mut disk: Disk, mut base: Disk) -> String {
    disk.stop = None;
    let mut memory = shape.workspace();
    let mut pool = Pool::mount_on_base(&mut disk, &mut base, &mut memory, &OPTIONS).unwrap();
    let mut findings = Vec::new();
    pool.check(&mut [0; 1024], true, &mut |finding| findings.push(*finding)).unwrap();
    findings.retain(|finding| !matches!(finding, cowl::Finding::SuperblockCopy { .. }));
    assert_eq!(findings, []);
    format!("{:?}", listing!(pool))
}

/// The last calls after the one that came to no end: what is there, whether a write is taken, and what the disk holds then.
macro_rules! go_on {
    ($pool:ident $(, $wait:tt)?) => {{
        let there = format!("{:?} {:?}", listing!($pool $(, $wait)?), $pool.space());
        let wrote = $pool.write(cowl::LayerId(1), 3, &[0x77; 512])$(.$wait)?;
        let flushed = $pool.flush()$(.$wait)?;
        (there, wrote.is_ok() && flushed.is_ok(), wrote == Err(Error::Poisoned))
    }};
}

#[test]
fn a_future_that_is_dropped_leaves_what_a_failed_device_leaves() {
    let (mut dropped, mut refused, mut went_on) = (BTreeMap::new(), 0, 0);
    for (number, shape) in SHAPES.iter().enumerate() {
        let (disk, base, then) = prepared(shape);
        // With something that is not flushed, and with nothing in memory yet.
        for (then, acts) in [(&*then, false), (&*then, true), (&[], false), (&[], true)] {
            let (mut there, mut below, mut memory) = (disk.clone(), base.clone(), shape.workspace());
            let mut pool = Pool::mount_on_base(&mut there, &mut below, &mut memory, &OPTIONS).unwrap();
            for op in then {
                apply!(pool, op).unwrap();
            }
            let before = format!("{:?} {:?}", listing!(pool), pool.space());
            let _ = pool.abandon();
            for op in candidates(shape.flags) {
                for call in 0.. {
                    let why = format!("shape {number}, {op:?}, device call {call}, which the device has done: {acts}");
                    // A device that grows under the pool.
                    let more = if op == Op::Grow { 1 << 23 } else { 0 };
                    let grown = |disk: &mut Disk| disk.bytes.resize(disk.bytes.len() + more, 0);
                    let stop = Some(Stop { call, acts });

                    let (mut failed, mut below, mut memory) = (disk.clone(), base.clone(), shape.workspace());
                    let mut pool = Pool::mount_on_base(&mut failed, &mut below, &mut memory, &OPTIONS).unwrap();
                    for op in then {
                        apply!(pool, op).unwrap();
                    }
                    grown(pool.device_mut());
                    pool.device_mut().stop_at(stop);
                    let came_to_an_end = apply!(pool, &op);
                    let written = pool.device_mut().has_written();
                    pool.device_mut().stop = None;
                    let blocking = go_on!(pool);
                    let _ = pool.abandon();

                    let (mut left, mut below, mut memory) = (disk.clone(), base.clone(), shape.workspace());
                    let mounted = ready(asynch::Pool::mount_on_base(&mut left, &mut below, &mut memory, &OPTIONS));
                    let mut pool = mounted.unwrap();
                    for op in then {
                        ready(async { apply!(pool, op, await) }).unwrap();
                    }
                    grown(pool.device_mut());
                    pool.device_mut().stop_at(stop);
                    let done = run(async { apply!(pool, &op, await) });
                    let reached = pool.device_mut().reached;
                    assert_eq!(done.is_none(), reached, "{why}");
                    pool.device_mut().stop = None;
                    let waiting = ready(async { go_on!(pool, await) });
                    let _ = pool.abandon();

                    if !reached {
                        assert!(came_to_an_end.is_ok(), "{why}: {came_to_an_end:?}");
                        assert_eq!(done, Some(came_to_an_end), "{why}");
                        break;
                    }
                    *dropped.entry(op.name()).or_insert(0) += 1;
                    assert!(waiting.1 != waiting.2, "{why}: {waiting:?}");
                    // The device knows no data that is neither the old nor the new, and the pool refuses whenever the blocking one does.
                    assert!(waiting.2 || !blocking.2, "{why}");
                    assert!(!waiting.2 || written, "{why}: nothing was written");
                    assert_eq!(waiting.0, blocking.0, "{why}");
                    let in_parts = matches!(op, Op::Write { .. } | Op::Discard { .. } | Op::Zeroes { .. });
                    if !written && !in_parts {
                        assert_eq!(waiting.0, before, "{why}");
                    }
                    refused += usize::from(waiting.2);
                    went_on += usize::from(waiting.1);
                    if waiting.1 == blocking.1 {
                        assert_eq!(
                            remounted(shape, left, base.clone()),
                            remounted(shape, failed, base.clone()),
                            "{why}"
                        );
                    } else {
                        remounted(shape, left, base.clone());
                    }
                }
            }
        }
    }
    assert!(refused > 1000 && went_on > 500, "{dropped:?} dropped, {refused} refused a change then, {went_on} went on");
    let never = candidates(LayerFlags::empty()).into_iter().filter(|op| !dropped.contains_key(&op.name()));
    assert_eq!(never.collect::<Vec<_>>(), [], "never dropped");
}

#[test]
fn a_read_that_was_given_up_while_the_device_was_flushed_harms_nothing() {
    let (mut disk, mut base, _) = prepared(&SMALL);
    let mut memory = SMALL.workspace();
    let mut pool = ready(asynch::Pool::mount_on_base(&mut disk, &mut base, &mut memory, &OPTIONS)).unwrap();
    ready(pool.checkpoint()).unwrap();
    ready(pool.write(cowl::LayerId(1), 70, &[1; 512])).unwrap();
    let flushing = ready(pool.begin_flush()).unwrap().expect("a unit was written");
    pool.device_mut().stop_at(Some(Stop { call: 0, acts: false }));
    assert!(run(pool.read(cowl::LayerId(1), 0, &mut [0; 512])).is_none());
    pool.device_mut().stop = None;
    pool.end_flush(flushing, Ok(())).unwrap();
    ready(pool.write(cowl::LayerId(1), 71, &[1; 512])).unwrap();
    ready(pool.unmount()).unwrap();
}

#[test]
fn a_call_that_was_given_up_before_it_wrote_changes_nothing_however_often() {
    let (disk, mut base, _) = prepared(&SMALL);
    let (mut disk, mut memory) = (disk, SMALL.workspace());
    let mut pool = ready(asynch::Pool::mount_on_base(&mut disk, &mut base, &mut memory, &OPTIONS)).unwrap();
    ready(pool.write(cowl::LayerId(1), 70, &[1; 512])).unwrap();
    ready(pool.checkpoint()).unwrap();
    let before = ready(async { listing!(pool, await) });
    for round in 0..200 {
        pool.device_mut().stop_at(Some(Stop { call: 0, acts: round % 2 == 0 }));
        let mut buffer = vec![0; 512 * 40];
        let read = run(pool.read(cowl::LayerId(1), round % 40, &mut buffer));
        assert!(read.is_none(), "the device does not answer");
        pool.device_mut().stop = None;
    }
    assert_eq!(ready(async { listing!(pool, await) }), before);
    let named = Attributes { name: "after", ..Attributes::default() };
    ready(pool.snapshot(cowl::LayerId(1), &named)).unwrap();
    ready(pool.unmount()).unwrap();
}

#[test]
fn a_question_of_which_a_step_was_given_up_begins_anew() {
    let (disk, mut base, _) = prepared(&SMALL);
    let (mut disk, mut memory) = (disk, SMALL.workspace());
    let mut pool = ready(asynch::Pool::mount_on_base(&mut disk, &mut base, &mut memory, &OPTIONS)).unwrap();
    let set = [cowl::LayerId(4), cowl::LayerId(3)];
    let expected = ready(pool.what_if_freed(&set)).unwrap();
    for call in 0.. {
        let mut question = ready(pool.what_if(&set)).unwrap();
        pool.device_mut().stop_at(Some(Stop { call, acts: false }));
        let given_up = run(async { while question.step(&mut pool, 2).await.unwrap().is_none() {} }).is_none();
        pool.device_mut().stop = None;
        if !given_up {
            assert!(call > 3, "{call} calls");
            break;
        }
        let answer = ready(async {
            loop {
                if let Some(answer) = question.step(&mut pool, 2).await.unwrap() {
                    break answer;
                }
            }
        });
        assert_eq!(answer, expected, "given up at call {call}");
    }
}

/// The tables above leave nothing out.
#[test]
fn every_call_that_waits_is_given_up_somewhere_here() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/src/asynch");
    let pools = [include_str!("asynch/ops.rs"), include_str!("asynch/ends.rs")].concat();
    let readers = include_str!("asynch/reader.rs");
    let mut calls = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        // Folders are of what is not for callers.
        let path = file.unwrap().path();
        let (here, of) = if path.ends_with("reader.rs") { (readers, "Reader") } else { (pools.as_str(), "Pool") };
        let text = if path.is_file() { std::fs::read_to_string(path).unwrap() } else { String::new() };
        for rest in text.split("pub async fn ").skip(1) {
            let name = rest.split(['(', '<']).next().unwrap();
            let given_up = [format!(".{name}("), format!("{of}::{name}(")].iter().any(|call| here.contains(call));
            assert!(given_up, "`{name}` is missing");
            calls += 1;
        }
    }
    assert!(calls > 35, "{calls} calls");
}
