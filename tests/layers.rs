//! The verbs on layers: what they do, and what they refuse.

use cowl::{
    Attributes, BlockDevice, Error, FormatOptions, LayerFlags, LayerId, LayerKind, MountOptions, Pool, SnapshotOf,
};
use cowl_host::{
    real::{SHAPES, history, perform},
    sim::{
        Prepared,
        faults::{Calls, Failing, Left, When},
        mount, sound,
    },
};
use cowl_tests::{CountedPool, SparseDisk, formatted, mounted, named};

fn pool(workspace: &mut Vec<u8>) -> CountedPool<'_> {
    workspace.resize(1 << 20, 0);
    mounted(formatted(4 << 20, &FormatOptions::new(512, [1; 16])), workspace)
}

fn first(pool: &mut CountedPool<'_>, layer: LayerId) -> u8 {
    let mut read = [0; 512];
    pool.read(layer, 0, &mut read).unwrap();
    read[0]
}

#[test]
fn rollback_goes_backwards_and_forwards_and_newer_snapshots_stay() {
    let mut workspace = Vec::new();
    let mut pool = pool(&mut workspace);
    let volume = pool.create(&named("v"), 100, LayerFlags::empty()).unwrap();
    let snapshots: Vec<LayerId> = (1..=3)
        .map(|i| {
            pool.write(volume, 0, &[i; 512]).unwrap();
            pool.snapshot(volume, &named(&format!("s{i}"))).unwrap()
        })
        .collect();
    for (target, content) in [(0, 1), (2, 3), (1, 2), (2, 3)] {
        assert_eq!(pool.rollback(volume, snapshots[target], 77, None).unwrap(), None);
        assert_eq!(first(&mut pool, volume), content);
        let info = pool.layer(volume).unwrap();
        assert_eq!((info.reverted_at, info.reverted_from), (Some(77), Some(snapshots[target])));
    }
    for (i, snapshot) in snapshots.iter().enumerate() {
        assert_eq!(usize::from(first(&mut pool, *snapshot)), i + 1);
    }
    pool.write(volume, 0, &[9; 512]).unwrap();
    let kept = pool.rollback(volume, snapshots[0], 78, Some(&named("kept"))).unwrap().unwrap();
    assert_eq!((first(&mut pool, kept), first(&mut pool, volume)), (9, 1));
    assert_eq!(pool.layer(kept).unwrap().kind, LayerKind::Snapshot);
}

#[test]
fn each_layer_keeps_its_own_size_and_what_was_cut_off_reads_zeros() {
    let mut workspace = Vec::new();
    let mut pool = pool(&mut workspace);
    let volume = pool.create(&named("v"), 2000, LayerFlags::empty()).unwrap();
    for sector in 0..2000 {
        pool.write(volume, sector, &[5; 512]).unwrap();
    }
    let large = pool.snapshot(volume, &named("large")).unwrap();
    pool.resize(volume, 7).unwrap();
    let small = pool.snapshot(volume, &named("small")).unwrap();
    pool.resize(volume, 40_000).unwrap();
    let mut read = vec![1; 512 * 30];
    pool.read(volume, 0, &mut read).unwrap();
    assert!(read[..7 * 512].iter().all(|byte| *byte == 5) && read[7 * 512..].iter().all(|byte| *byte == 0));
    let sizes = [large, small, volume].map(|layer| pool.layer(layer).unwrap().sectors);
    assert_eq!(sizes, [2000, 7, 40_000]);
    assert_eq!(pool.read(small, 7, &mut [0; 512]), Err(Error::OutOfRange { sectors: 7 }));
    pool.rollback(volume, large, 1, None).unwrap();
    assert_eq!(pool.layer(volume).unwrap().sectors, 2000);
    pool.merge_all(5000).unwrap();
    pool.read(volume, 1999, &mut read[..512]).unwrap();
    assert_eq!(read[..512], [5; 512]);
}

#[test]
fn a_snapshot_of_several_volumes_is_one_step() {
    let mut workspace = Vec::new();
    let mut pool = pool(&mut workspace);
    let volumes = ["a", "b", "c"].map(|name| pool.create(&named(name), 10, LayerFlags::empty()).unwrap());
    for volume in volumes {
        pool.write(volume, 0, &[4; 512]).unwrap();
    }
    let names = ["a1", "b1", "c1"];
    let of: Vec<SnapshotOf<'_>> = volumes
        .iter()
        .zip(names)
        .map(|(volume, name)| SnapshotOf { volume: *volume, attributes: named(name), attachments: &[] })
        .collect();
    let before = pool.info().generation;
    let first_id = pool.snapshot_all(&of).unwrap();
    assert_eq!(pool.info().generation, before + 1);
    for (i, name) in (0..).zip(names) {
        assert_eq!(pool.find(name).unwrap().unwrap().id, LayerId(first_id.0 + i));
    }
    let twice = [of[0], SnapshotOf { attributes: named("other"), ..of[0] }];
    assert!(pool.snapshot_all(&twice).is_err(), "names are taken, and one volume cannot be named twice");
    let other = [SnapshotOf { attributes: named("x"), ..of[0] }, SnapshotOf { attributes: named("y"), ..of[0] }];
    assert_eq!(pool.snapshot_all(&other), Err(Error::WrongKind(volumes[0])));
    assert_eq!(pool.find("x").unwrap(), None);
}

#[test]
fn attachments_commit_with_their_snapshot_and_go_with_it() {
    let mut workspace = Vec::new();
    let mut pool = pool(&mut workspace);
    let fresh = pool.space().free;
    let volume = pool.create(&named("v"), 10, LayerFlags::empty()).unwrap();
    let memory = pool.stage_attachment(&named("memory"), 1000).unwrap();
    pool.write(memory, 0, &[3; 512]).unwrap();
    pool.write(memory, 1, &[4; 512]).unwrap();
    let of = SnapshotOf { volume, attributes: named("s"), attachments: &[memory] };
    let snapshot = pool.snapshot_all(&[of]).unwrap();
    let found = pool.next_attachment(snapshot, None).unwrap().unwrap();
    assert_eq!((found.id, found.length, found.name.as_str(), found.owner), (memory, 1000, "memory", Some(snapshot)));
    assert_eq!(pool.next_attachment(snapshot, Some(memory)).unwrap(), None);
    assert_eq!(pool.write(memory, 0, &[0; 512]), Err(Error::ReadOnly));
    assert_eq!(first(&mut pool, memory), 3);
    let mut bytes = Vec::new();
    let mut cursor = pool.cursor(memory).unwrap();
    let mut part = [0; 300];
    loop {
        let read = embedded_io::Read::read(&mut cursor, &mut part).unwrap();
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&part[..read]);
    }
    assert_eq!(bytes, [[3; 512].as_slice(), &[4; 488]].concat());
    for layer in [snapshot, volume] {
        pool.delete(layer).unwrap();
    }
    pool.merge_all(5000).unwrap();
    assert_eq!((pool.space().free, pool.info().layers), (fresh, 0));
}

#[test]
fn a_staged_attachment_that_nobody_took_is_gone_after_the_next_mount() {
    let mut disk = SparseDisk::new(512, 4 << 20);
    let mut workspace = vec![0; 1 << 20];
    Pool::format(&mut disk, &mut workspace, &FormatOptions::new(512, [1; 16])).unwrap();
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let fresh = pool.space().free;
    let staged = pool.stage_attachment(&named("lost"), 5000).unwrap();
    pool.write(staged, 0, &[1; 4096]).unwrap();
    pool.unmount().unwrap();
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    assert_eq!(pool.layer(staged), Err(Error::NoSuchLayer(staged)));
    pool.merge_all(5000).unwrap();
    assert_eq!(pool.space().free, fresh);
}

#[test]
fn names_are_unique_while_a_layer_lives_and_numbers_for_ever() {
    let mut workspace = Vec::new();
    let mut pool = pool(&mut workspace);
    let volume = pool.create(&named("v"), 10, LayerFlags::empty()).unwrap();
    assert_eq!(pool.create(&named("v"), 10, LayerFlags::empty()), Err(Error::NameTaken(volume)));
    let snapshot = pool.snapshot(volume, &named("s")).unwrap();
    assert_eq!(pool.rename(volume, "s"), Err(Error::NameTaken(snapshot)));
    pool.rename(volume, "v").unwrap();
    for bad in ["", "a\nb", &"x".repeat(64)] {
        assert_eq!(pool.rename(volume, bad), Err(Error::BadName));
    }
    pool.rename(volume, &"ü".repeat(31)).unwrap();
    pool.delete(snapshot).unwrap();
    assert_eq!(pool.layer(snapshot), Err(Error::NoSuchLayer(snapshot)));
    let again = pool.snapshot(volume, &named("s")).unwrap();
    pool.merge_all(5000).unwrap();
    assert!(again > snapshot);
    let listed: Vec<LayerId> = pool.layers().map(|info| info.unwrap().id).collect();
    assert_eq!(listed, [volume, again]);
}

#[test]
fn descriptions_of_any_length_come_back() {
    for block_size in [512, 1024, 4096] {
        let mut workspace = vec![0; 1 << 20];
        let mut pool = mounted(formatted(8 << 20, &FormatOptions::new(block_size, [1; 16])), &mut workspace);
        let mut buffer = [0; 800];
        let long = "line\n".repeat(153);
        let attributes = Attributes { name: "v", description: &long, uuid: [9; 16], time: 5 };
        let volume = pool.create(&attributes, 10, LayerFlags::empty()).unwrap();
        for text in [long.as_str(), "", "short", "\0\0", &"y".repeat(767)] {
            pool.describe(volume, text).unwrap();
            let length = pool.description(volume, &mut buffer).unwrap();
            assert_eq!(&buffer[..length], text.as_bytes());
        }
        assert_eq!(pool.describe(volume, &"z".repeat(768)), Err(Error::BadName));
        let info = pool.layer(volume).unwrap();
        assert_eq!((info.uuid, info.created, info.description), ([9; 16], 5, 767));
    }
}

#[test]
fn the_wrong_kind_of_layer_is_refused_and_nothing_changes() {
    let mut workspace = Vec::new();
    let mut pool = pool(&mut workspace);
    let volume = pool.create(&named("v"), 10, LayerFlags::empty()).unwrap();
    let other = pool.create(&named("w"), 10, LayerFlags::empty()).unwrap();
    let snapshot = pool.snapshot(volume, &named("s")).unwrap();
    let before = pool.info();
    assert_eq!(pool.snapshot(snapshot, &named("x")), Err(Error::WrongKind(snapshot)));
    assert_eq!(pool.rollback(other, snapshot, 1, None), Err(Error::WrongKind(snapshot)), "of another tree");
    assert_eq!(pool.rollback(volume, other, 1, None), Err(Error::WrongKind(other)));
    assert_eq!(pool.clone_snapshot(volume, &named("x"), false), Err(Error::WrongKind(volume)));
    assert_eq!(pool.write(snapshot, 0, &[0; 512]), Err(Error::ReadOnly));
    assert_eq!(pool.resize(snapshot, 5), Err(Error::WrongKind(snapshot)));
    assert_eq!(pool.attach(volume, snapshot), Err(Error::WrongKind(snapshot)));
    assert_eq!(pool.delete(LayerId(99)), Err(Error::NoSuchLayer(LayerId(99))));
    // No layer has the number 0, whether many layers are in use or none yet.
    let nobody = LayerId(0);
    for _ in 0..2 {
        assert_eq!(pool.read(nobody, 0, &mut []), Err(Error::NoSuchLayer(nobody)));
        assert_eq!(pool.write(nobody, 0, &[]), Err(Error::NoSuchLayer(nobody)));
        assert_eq!(pool.discard(nobody, 0, 0), Err(Error::NoSuchLayer(nobody)));
        assert_eq!(pool.extent(nobody, 0).map(drop), Err(Error::NoSuchLayer(nobody)));
        pool.read(volume, 0, &mut [0; 512]).unwrap();
    }
    assert_eq!(pool.write(volume, 9, &[0; 1024]), Err(Error::OutOfRange { sectors: 10 }));
    assert_eq!(pool.write(volume, 0, &[0; 100]), Err(Error::OutOfRange { sectors: 10 }));
    assert_eq!(pool.info(), before);
}

#[test]
fn what_if_and_deltas_say_exactly_what_deleting_frees() {
    for set in 1..32u32 {
        let mut workspace = Vec::new();
        let mut pool = pool(&mut workspace);
        let volume = pool.create(&named("v"), 300, LayerFlags::empty()).unwrap();
        let mut layers = Vec::new();
        for i in 0..3u64 {
            for sector in 0..100 {
                pool.write(volume, sector * 2 + i * 30, &[1; 512]).unwrap();
            }
            layers.push(pool.snapshot(volume, &named(&format!("s{i}"))).unwrap());
        }
        let branch = pool.clone_snapshot(layers[1], &named("branch"), false).unwrap();
        for sector in 0..60 {
            pool.write(branch, sector, &[2; 512]).unwrap();
            pool.write(volume, sector * 3, &[3; 512]).unwrap();
        }
        pool.checkpoint().unwrap();
        layers.extend([branch, volume]);
        let chosen: Vec<LayerId> = (0..5).filter(|i| set & (1 << i) != 0).map(|i| layers[i]).collect();
        let answer = pool.what_if_freed(&chosen).unwrap();
        let owned = |pool: &mut CountedPool<'_>| {
            let (mut sum, mut after) = ((0, 0), None);
            while let Some(info) = pool.next_record(after).unwrap() {
                sum = (sum.0 + info.delta.data, sum.1 + info.delta.nodes);
                after = Some(info.id);
            }
            sum
        };
        let before = owned(&mut pool);
        for layer in chosen {
            pool.delete(layer).unwrap();
        }
        pool.merge_all(5000).unwrap();
        let after = owned(&mut pool);
        assert_eq!((answer.data, answer.nodes), (before.0 - after.0, before.1 - after.1), "set {set:b}");
    }
}

#[test]
fn what_if_begins_anew_when_the_pool_has_changed_in_between() {
    let mut workspace = Vec::new();
    let mut pool = pool(&mut workspace);
    let volume = pool.create(&named("v"), 300, LayerFlags::empty()).unwrap();
    pool.write(volume, 0, &vec![1; 300 * 512]).unwrap();
    let snapshot = pool.snapshot(volume, &named("s")).unwrap();
    pool.write(volume, 0, &vec![2; 150 * 512]).unwrap();
    let set = [volume, snapshot];
    for steps in 0..60 {
        let mut question = pool.what_if(&set).unwrap();
        for _ in 0..steps {
            question.step(&mut pool, 1).unwrap();
        }
        // The nodes that were walked are written anew elsewhere, and their places given to others.
        for round in 0..3 {
            for sector in (steps % 7..300).step_by(7) {
                pool.write(volume, sector, &[round; 512]).unwrap();
            }
            pool.checkpoint().unwrap();
        }
        let answer = loop {
            if let Some(freed) = question.step(&mut pool, 1).unwrap() {
                break freed;
            }
        };
        assert_eq!(answer, pool.what_if_freed(&set).unwrap(), "after {steps} steps");
    }
}

#[test]
fn what_if_begins_anew_after_an_error_of_the_device() {
    let mut disk = SparseDisk::new(512, 2000 * 512);
    let options = FormatOptions { pending: 8, journal_units: 3, ..FormatOptions::new(512, [1; 16]) };
    let mut workspace = vec![0; 8 << 10];
    Pool::format(&mut disk, &mut workspace, &options).unwrap();
    let device = Failing::new(disk, Calls::Reads, When::NEVER);
    let mut pool = Pool::mount(device, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("v"), 300, LayerFlags::empty()).unwrap();
    pool.write(volume, 0, &vec![1; 300 * 512]).unwrap();
    let snapshot = pool.snapshot(volume, &named("s")).unwrap();
    pool.write(volume, 0, &vec![2; 150 * 512]).unwrap();
    pool.checkpoint().unwrap();
    let set = [volume, snapshot];
    let expected = pool.what_if_freed(&set).unwrap();
    let mut failed = 0;
    for read in 0..100 {
        let mut question = pool.what_if(&set).unwrap();
        pool.device_mut().plan(Calls::Reads, When::once(read), Left::Nothing);
        let answer = loop {
            match question.step(&mut pool, 3) {
                Ok(None) => {}
                Ok(Some(freed)) => break freed,
                Err(Error::Device(_)) => failed += 1,
                Err(error) => panic!("{error:?}"),
            }
        };
        pool.device_mut().plan(Calls::Reads, When::NEVER, Left::Nothing);
        assert_eq!(answer, expected, "after an error of read {read}");
    }
    assert!(failed > 10, "{failed} reads failed");
}

#[test]
fn a_branching_point_is_trimmed_in_the_least_memory_there_can_be() {
    const SECTORS: u64 = 1500;
    let mut disk = SparseDisk::new(512, 9000 * 512);
    let options = FormatOptions { pending: 8, journal_units: 3, ..FormatOptions::new(512, [1; 16]) };
    let mut workspace = vec![0; 1 << 16];
    Pool::format(&mut disk, &mut workspace, &options).unwrap();
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("volume"), SECTORS, LayerFlags::empty()).unwrap();
    pool.write(volume, 0, &vec![1; 1500 * 512]).unwrap();
    let snapshot = pool.snapshot(volume, &named("snapshot")).unwrap();
    let clone = pool.clone_snapshot(snapshot, &named("clone"), false).unwrap();
    // Both children have replaced every third block: nobody shares the snapshot's.
    for (layer, byte) in [(volume, 2), (clone, 3)] {
        (0..SECTORS).step_by(3).for_each(|sector| pool.write(layer, sector, &[byte; 512]).unwrap());
    }
    pool.delete(snapshot).unwrap();
    pool.unmount().unwrap();
    let mut least = 0;
    while let Err(Error::WorkspaceTooSmall { needed }) =
        Pool::mount(&mut disk, &mut workspace[..least], &MountOptions::default()).map(drop)
    {
        least = needed;
    }
    let mut pool = Pool::mount(&mut disk, &mut workspace[..least], &MountOptions::default()).unwrap();
    pool.merge_all(1 << 20).unwrap();
    for (layer, byte) in [(volume, 2), (clone, 3)] {
        let mut sector = [0; 512];
        for at in 0..SECTORS {
            pool.read(layer, at, &mut sector).unwrap();
            assert!(sector == [if at % 3 == 0 { byte } else { 1 }; 512], "sector {at} of {layer:?}");
        }
    }
    sound(&mut pool, true).unwrap();
}

/// The nodes that a trim has changed may be pushed out of a small cache while it looks at the children, and are then found by the
/// checksum that they were written with. Long lives came to that.
#[test]
fn in_a_long_life_with_the_least_memory_a_trim_finds_its_own_nodes_again() {
    for (seed, length) in [(439, 400), (370, 2400)] {
        let config = SHAPES[0];
        let Prepared { disk: mut fresh, mut model, .. } = Prepared::new(&config).unwrap();
        let mut bytes = vec![0; config.device_sectors() * config.sector_size];
        fresh.read(0, &mut bytes).unwrap();
        let mut disk = SparseDisk::new(512, bytes.len() as u64);
        disk.geometry.discard = true;
        disk.write(0, &bytes).unwrap();
        let mut workspace = config.workspace();
        let mut pool = mount(&mut disk, &mut workspace).unwrap();
        for (i, op) in history(&config, seed, length).into_iter().enumerate() {
            let done = perform(&mut pool, &mut model, op);
            assert!(done.is_ok(), "operation {i} of seed {seed}, {op:?}: {done:?}");
        }
        sound(&mut pool, true).unwrap();
    }
}
