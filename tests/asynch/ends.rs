//! Where a pool begins and ends: mount, format and unmount, given up at every call to the device.

use cowl::{Error, FormatOptions, Pool, asynch};

use crate::{
    OPTIONS, SHAPES, Shape,
    disk::{Disk, Failed, Stop},
    ops::{Op, apply, listing},
    prepared, ready, remounted, run,
};

/// Goes through the device calls of `work`, which is told where to stop, until it stops no more; how many there were.
fn at_every_call(mut work: impl FnMut(Stop) -> bool) -> usize {
    let mut stopped = 0;
    for acts in [false, true] {
        stopped += (0..usize::MAX).take_while(|call| work(Stop { call: *call, acts })).count();
    }
    stopped
}

/// The disks of a pool that was not unmounted: what was flushed, and a bit that was not.
fn abandoned(shape: &Shape, renamed: bool) -> (Disk, Disk) {
    let (mut disk, mut base, then) = prepared(shape);
    let mut memory = shape.workspace();
    let mut pool = Pool::mount_on_base(&mut disk, &mut base, &mut memory, &OPTIONS).unwrap();
    for op in &then {
        apply!(pool, op).unwrap();
    }
    if renamed {
        apply!(pool, &Op::Rename { layer: 1, name: "w" }).unwrap();
    }
    let _ = pool.abandon();
    (disk, base)
}

#[test]
fn after_a_mount_that_was_given_up_the_pool_is_as_before() {
    for shape in &SHAPES {
        let (disk, base) = abandoned(shape, false);
        let expected = remounted(shape, disk.clone(), base.clone());
        for (plain, stop_base) in [(false, false), (false, true), (true, false)] {
            let stopped = at_every_call(|stop| {
                let (mut left, mut below, mut memory) = (disk.clone(), base.clone(), shape.workspace());
                if stop_base {
                    below.stop_at(Some(stop));
                } else {
                    left.stop_at(Some(stop));
                }
                let given_up = if plain {
                    let done = run(asynch::Pool::mount(&mut left, &mut memory, &OPTIONS));
                    done.is_none_or(|done| {
                        assert_eq!(done.is_err(), shape.base);
                        false
                    })
                } else {
                    let done = run(asynch::Pool::mount_on_base(&mut left, &mut below, &mut memory, &OPTIONS));
                    done.is_none_or(|done| {
                        assert!(done.is_ok());
                        false
                    })
                };
                assert!(left.bytes == disk.bytes, "a mount writes nothing");
                left.stop = None;
                below.stop = None;
                let mut pool =
                    ready(asynch::Pool::mount_on_base(&mut left, &mut below, &mut memory, &OPTIONS)).unwrap();
                assert_eq!(format!("{:?}", ready(async { listing!(pool, await) })), expected, "{stop:?}");
                given_up
            });
            assert!(stopped > 5 || stop_base || shape.base && plain, "{stopped} calls");
            assert!(stopped > 0 || !shape.base, "{stopped} calls");
        }
    }
}

/// What a mount makes of the disk: its identifier and its layers.
fn holds(shape: &Shape, disk: &Disk, base: &Disk) -> Result<([u8; 16], String), Error<Failed>> {
    let (mut disk, mut base, mut memory) = (disk.clone(), base.clone(), vec![0; 1 << 20]);
    disk.stop = None;
    base.stop = None;
    let mut pool = Pool::mount_on_base(&mut disk, &mut base, &mut memory, &OPTIONS)?;
    assert_eq!(u64::from(pool.info().block_size), u64::from(shape.block_size));
    let mut findings = Vec::new();
    pool.check(&mut [0; 1024], true, &mut |finding| findings.push(*finding))?;
    findings.retain(|finding| !matches!(finding, cowl::Finding::SuperblockCopy { .. }));
    assert_eq!(findings, []);
    let found = listing!(pool);
    Ok((pool.info().uuid, format!("{found:?}")))
}

#[test]
fn after_a_format_that_was_given_up_there_is_no_pool_or_an_empty_one() {
    for shape in &SHAPES {
        for on_base in [false, true] {
            let (mut pools, mut none) = (0, 0);
            let options = FormatOptions { uuid: [8; 16], ..shape.options() };
            let base = if on_base { shape.base() } else { Disk::new(0) };
            at_every_call(|stop| {
                let (mut disk, mut below, mut memory) = (shape.disk(), base.clone(), shape.workspace());
                disk.stop_at(Some(stop));
                let done = if on_base {
                    run(asynch::Pool::format_on_base(&mut disk, &mut below, &mut memory, &options))
                } else {
                    run(asynch::Pool::format(&mut disk, &mut memory, &options))
                };
                assert_eq!(done.is_none(), disk.reached);
                disk.stop = None;
                match holds(shape, &disk, &base) {
                    Ok(empty) => {
                        assert_eq!(empty, ([8; 16], "[]".to_owned()), "{stop:?}");
                        pools += 1;
                    }
                    Err(Error::NotAPool) => {
                        none += 1;
                        ready(asynch::Pool::format(&mut disk, &mut memory, &options)).unwrap();
                        assert_eq!(holds(shape, &disk, &Disk::new(0)).unwrap().1, "[]");
                    }
                    Err(why) => panic!("{stop:?}: {why:?}"),
                }
                done.is_none()
            });
            assert!(none > 10 && pools > 3, "{none} without a pool, {pools} with one");
        }
    }
}

#[test]
fn a_base_that_does_not_answer_leaves_the_disk_as_it_was() {
    let shape = SHAPES[3];
    let stopped = at_every_call(|stop| {
        let (mut disk, mut base, mut memory) = (shape.disk(), shape.base(), shape.workspace());
        base.stop_at(Some(stop));
        let done = run(asynch::Pool::format_on_base(&mut disk, &mut base, &mut memory, &shape.options()));
        assert!(done.is_some() || disk.bytes.iter().all(|byte| *byte == 0), "{stop:?}");
        done.is_none()
    });
    assert!(stopped > 1, "{stopped} calls");
}

#[test]
fn a_format_over_a_pool_that_was_given_up_leaves_remains_of_the_old_or_none_or_an_empty_one() {
    // The newest superblock in either pair.
    for (shape, even) in SHAPES.iter().flat_map(|shape| [(shape, false), (shape, true)]) {
        let (disk, base) = abandoned(shape, even);
        let options = FormatOptions { uuid: [8; 16], force: true, ..shape.options() };
        let (mut olds, mut news, mut none) = (0, 0, 0);
        at_every_call(|stop| {
            let (mut left, mut below, mut memory) = (disk.clone(), base.clone(), shape.workspace());
            left.stop_at(Some(stop));
            let done = run(asynch::Pool::format_on_base(&mut left, &mut below, &mut memory, &options));
            left.stop = None;
            match holds(shape, &left, &base) {
                Ok((uuid, found)) if uuid == [8; 16] => {
                    assert_eq!(found, "[]", "{stop:?}");
                    news += 1;
                }
                Ok(_) | Err(Error::Corrupt { .. }) => olds += 1,
                Err(Error::NotAPool) => none += 1,
                Err(why) => panic!("{stop:?}: {why:?}"),
            }
            ready(asynch::Pool::format_on_base(&mut left, &mut below, &mut memory, &options)).unwrap();
            assert_eq!(holds(shape, &left, &base).unwrap(), ([8; 16], "[]".to_owned()), "{stop:?}");
            done.is_none()
        });
        assert!(olds > 3 && none > 3 && news > 1, "{olds} times the old, {none} none, {news} the new");
    }
}

#[test]
fn after_an_unmount_that_was_given_up_all_that_was_flushed_is_there() {
    for shape in &SHAPES {
        let (disk, base, then) = prepared(shape);
        let shown = |disk: &Disk| {
            let (mut disk, mut base, mut memory) = (disk.clone(), base.clone(), shape.workspace());
            disk.stop = None;
            let mut pool = Pool::mount_on_base(&mut disk, &mut base, &mut memory, &OPTIONS).unwrap();
            listing!(pool)
        };
        let (mut memory, mut below) = (shape.workspace(), base.clone());
        let stopped = at_every_call(|stop| {
            let mut left = disk.clone();
            let mut pool = ready(asynch::Pool::mount_on_base(&mut left, &mut below, &mut memory, &OPTIONS)).unwrap();
            let mut flushed = Vec::new();
            for op in &then {
                ready(async { apply!(pool, op, await) }).unwrap();
                if *op == Op::Flush {
                    flushed = shown(pool.device());
                }
            }
            let written = ready(async { listing!(pool, await) });
            assert!(flushed != written, "something is not flushed yet");
            pool.device_mut().stop_at(Some(stop));
            let done = run(pool.unmount());
            let given_up = done.is_none_or(|done| {
                assert!(done.is_ok());
                false
            });
            let found = shown(&left);
            assert_eq!(found.len(), flushed.len(), "{stop:?}");
            for ((found, flushed), written) in found.iter().zip(&flushed).zip(&written) {
                assert_eq!((found.0, &found.1, found.4), (flushed.0, &flushed.1, flushed.4), "{stop:?}");
                for (sector, value) in found.8.iter().enumerate() {
                    assert!([flushed.8[sector], written.8[sector]].contains(value), "{stop:?}, sector {sector}");
                }
            }
            assert!(given_up || found == written, "{stop:?}");
            remounted(shape, left, base.clone());
            given_up
        });
        assert!(stopped > 10, "{stopped} calls");
    }
}
