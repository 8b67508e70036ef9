//! What `check` finds: everything that the pool's bookkeeping relies on is made wrong, one field at a time, with every checksum right.

use cowl::{
    Error, Finding, FormatOptions, LayerFlags, LayerId, MountOptions, Object, Pool, SnapshotOf,
    format::{Entry, Label, Layer, Superblock},
};
use cowl_tests::{SparseDisk, edit::Image, named};

/// The layers of the sample, by number.
const VOLUME: u32 = 1;
const EMPTY: u32 = 2;
const FIRST: u32 = 3;
const SECOND: u32 = 4;
const SNAPSHOT: u32 = 5;
const CLONE: u32 = 6;
const OTHER: u32 = 7;
const NOBODY: u32 = 900;

/// A new pool of so many blocks, and memory for it.
fn formatted(blocks: u64) -> (SparseDisk, Vec<u8>) {
    let mut disk = SparseDisk::new(512, blocks * 512);
    let options = FormatOptions { pending: 8, journal_units: 3, ..FormatOptions::new(512, [1; 16]) };
    let mut workspace = vec![0; 1 << 16];
    Pool::format(&mut disk, &mut workspace, &options).unwrap();
    (disk, workspace)
}

/// A snapshot with three children and two attachments, in a pool of two groups; the space map has two levels.
fn sample() -> Image {
    let (mut disk, mut workspace) = formatted(5600);
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("volume"), 40, LayerFlags::empty()).unwrap();
    pool.create(&named("empty"), 2000, LayerFlags::empty()).unwrap();
    for sector in 0..40 {
        pool.write(volume, sector, &[1; 512]).unwrap();
    }
    let attachments = ["first", "second"].map(|name| {
        let attachment = pool.stage_attachment(&named(name), 700).unwrap();
        pool.write(attachment, 0, &[2; 512]).unwrap();
        attachment
    });
    let snapshot = SnapshotOf { volume, attributes: named("snapshot"), attachments: &attachments };
    let snapshot = pool.snapshot_all(&[snapshot]).unwrap();
    pool.clone_snapshot(snapshot, &named("clone"), false).unwrap();
    pool.clone_snapshot(snapshot, &named("other"), false).unwrap();
    // So much that the second group's bitmap is written too.
    let filler = pool.create(&named("filler"), 2400, LayerFlags::empty()).unwrap();
    for (layer, count) in [(filler, 2400), (LayerId(EMPTY), 2000)] {
        for sector in 0..count {
            pool.write(layer, sector, &[3; 512]).unwrap();
        }
    }
    pool.discard(LayerId(EMPTY), 0, 2000).unwrap();
    pool.unmount().unwrap();
    Image::new(disk)
}

/// What is found with much memory; with the least there is, it is the same.
fn findings(disk: &SparseDisk) -> Vec<Finding> {
    let found = [1 << 16, 64].map(|memory| {
        let mut workspace = vec![0; 1 << 16];
        let mut pool = Pool::mount(disk.clone(), &mut workspace, &MountOptions::default()).unwrap();
        let mut findings = Vec::new();
        pool.check(&mut vec![0; memory], false, &mut |finding| findings.push(*finding)).unwrap();
        findings
    });
    let [much, least] = found;
    assert_eq!(much, least);
    much
}

fn count(what: &'static str, layer: Option<u32>, stored: u64, counted: u64) -> Finding {
    Finding::Count { what, layer: layer.map(LayerId), stored, counted }
}

fn field(layer: u32, field: &'static str, stored: u64, expected: u64) -> Finding {
    Finding::Field { layer: LayerId(layer), field, stored, expected }
}

#[test]
fn a_sound_pool_has_no_findings_and_the_progress_ends_where_it_said() {
    let image = sample();
    assert_eq!(findings(&image.disk), []);
    let mut workspace = vec![0; 1 << 16];
    let mut pool = Pool::mount(image.disk, &mut workspace, &MountOptions::default()).unwrap();
    let mut told = Vec::new();
    let mut none = |finding: &Finding| panic!("{finding:?}");
    pool.check_watched(&mut [0; 64], false, &mut none, &mut |done, of| told.push((done, of))).unwrap();
    assert!(told.len() > 1 && told.is_sorted(), "{told:?}");
    assert!(told.iter().all(|(done, of)| done <= of && *of == told[0].1), "{told:?}");
}

#[test]
fn a_wrong_field_of_a_record_is_found_and_named() {
    let sample = sample();
    let check = |id: u32, change: &dyn Fn(&mut Layer), expected: &[Finding]| {
        let mut image = sample.clone();
        image.change_layer(id, change);
        assert_eq!(findings(&image.seal()), expected, "layer {id}");
    };
    let flags = |flags: LayerFlags| u64::from(flags.bits());
    let guaranteed = flags(LayerFlags::GUARANTEED);
    check(SNAPSHOT, &|layer| layer.flags |= LayerFlags::GUARANTEED, &[field(SNAPSHOT, "flags", guaranteed, 0)]);
    check(VOLUME, &|layer| layer.flags |= LayerFlags::ARMED, &[field(VOLUME, "flags", flags(LayerFlags::ARMED), 0)]);
    check(VOLUME, &|layer| layer.epoch = 1, &[field(VOLUME, "epoch", 1, 0)]);
    let epoch = sample.superblock.epoch;
    check(CLONE, &|layer| layer.parent_epoch = epoch, &[field(CLONE, "parent_epoch", epoch.into(), 1)]);
    check(EMPTY, &|layer| layer.height = 1, &[field(EMPTY, "height", 1, 3)]);
    let said = |change: &dyn Fn(&mut Label), expected: &[Finding]| {
        let mut image = sample.clone();
        image.change_label(EMPTY, change);
        assert_eq!(findings(&image.seal()), expected);
    };
    said(&|label| label.description = 800, &[field(EMPTY, "description", 800, 767)]);
    said(&|label| label.length = 5, &[field(EMPTY, "length", 5, 0)]);
    check(FIRST, &|layer| layer.sectors = 3, &[field(FIRST, "sectors", 3, 2)]);
    check(CLONE, &|layer| layer.family = OTHER, &[field(CLONE, "family", OTHER.into(), VOLUME.into())]);
    check(SNAPSHOT, &|layer| layer.data = 39, &[count("data blocks", Some(SNAPSHOT), 39, 40)]);
    check(SNAPSHOT, &|layer| layer.nodes = 4, &[count("nodes", Some(SNAPSHOT), 4, 3)]);
    let block = last_block(&sample);
    let behind = Finding::Damaged { what: Object::MapNode, block, layer: Some(LayerId(SNAPSHOT)) };
    check(SNAPSHOT, &|layer| layer.sectors = 39, &[behind]);
}

/// The block of the snapshot's last sector.
fn last_block(image: &Image) -> u64 {
    let mut workspace = vec![0; 1 << 16];
    let mut pool = Pool::mount(image.disk.clone(), &mut workspace, &MountOptions::default()).unwrap();
    let cowl::ExtentKind::Data { sector } = pool.extent(LayerId(SNAPSHOT), 39).unwrap().kind else { panic!("data") };
    sector
}

#[test]
fn wrong_parents_and_children_are_found_also_where_there_are_several() {
    let sample = sample();
    let check = |id: u32, change: &dyn Fn(&mut Layer), expected: &[Finding]| {
        let mut image = sample.clone();
        image.change_layer(id, change);
        assert_eq!(findings(&image.seal()), expected, "layer {id}");
    };
    let children = u64::from(VOLUME ^ CLONE ^ OTHER);
    check(SNAPSHOT, &|layer| layer.children = 2, &[count("children", Some(SNAPSHOT), 2, 3)]);
    check(SNAPSHOT, &|layer| layer.child_xor ^= 9, &[field(SNAPSHOT, "child_xor", children ^ 9, children)]);
    check(VOLUME, &|layer| layer.children = 1, &[count("children", Some(VOLUME), 1, 0)]);
    check(
        CLONE,
        &|layer| layer.parent = NOBODY,
        &[
            count("children", Some(SNAPSHOT), 3, 2),
            field(SNAPSHOT, "child_xor", children, u64::from(VOLUME ^ OTHER)),
            field(CLONE, "parent", NOBODY.into(), 0),
        ],
    );
    check(
        CLONE,
        &|layer| (layer.parent, layer.parent_epoch) = (0, 1),
        &[
            count("children", Some(SNAPSHOT), 3, 2),
            field(SNAPSHOT, "child_xor", children, u64::from(VOLUME ^ OTHER)),
            field(CLONE, "parent_epoch", 1, 0),
        ],
    );
}

#[test]
fn a_broken_list_of_attachments_is_found() {
    let sample = sample();
    let check = |id: u32, change: &dyn Fn(&mut Layer), expected: &[Finding]| {
        let mut image = sample.clone();
        image.change_layer(id, change);
        assert_eq!(findings(&image.seal()), expected, "layer {id}");
    };
    let staged = u64::from(LayerFlags::STAGED.bits());
    // The list: the second one was attached last and comes first.
    let listed = |length| count("attachments", Some(SNAPSHOT), length, 2);
    check(SNAPSHOT, &|layer| layer.first_attachment = 0, &[listed(0)]);
    check(SNAPSHOT, &|layer| layer.first_attachment = FIRST, &[listed(1)]);
    check(SNAPSHOT, &|layer| layer.first_attachment = NOBODY, &[field(SNAPSHOT, "first_attachment", NOBODY.into(), 0)]);
    check(FIRST, &|layer| layer.next_attachment = SECOND, &[listed(3)]);
    check(SECOND, &|layer| layer.next_attachment = VOLUME, &[field(SECOND, "next_attachment", VOLUME.into(), 0)]);
    check(VOLUME, &|layer| layer.next_attachment = FIRST, &[field(VOLUME, "next_attachment", FIRST.into(), 0)]);
    check(FIRST, &|layer| layer.first_attachment = 9, &[field(FIRST, "first_attachment", 9, 0)]);
    check(VOLUME, &|layer| layer.owner = SNAPSHOT, &[field(VOLUME, "owner", SNAPSHOT.into(), 0)]);
    check(FIRST, &|layer| layer.owner = NOBODY, &[field(FIRST, "owner", NOBODY.into(), 0)]);
    check(FIRST, &|layer| layer.owner = 0, &[field(FIRST, "flags", 0, staged)]);
    check(
        FIRST,
        &|layer| layer.owner = VOLUME,
        &[count("attachments", Some(VOLUME), 0, 1), field(FIRST, "owner", VOLUME.into(), SNAPSHOT.into())],
    );
    check(
        FIRST,
        &|layer| layer.flags |= LayerFlags::STAGED,
        &[field(FIRST, "owner", SNAPSHOT.into(), 0), count("staged attachments", None, 0, 1)],
    );
}

#[test]
fn a_wrong_sum_in_the_superblock_is_found() {
    let sample = sample();
    let check = |change: &dyn Fn(&mut Superblock), expected: &[Finding]| {
        let mut image = sample.clone();
        change(&mut image.superblock);
        assert_eq!(findings(&image.seal()), expected);
    };
    let sound = &sample.superblock;
    check(&|sb| sb.free -= 1, &[count("free blocks", None, sound.free - 1, sound.free)]);
    check(&|sb| sb.guaranteed += 1, &[count("guaranteed blocks", None, 1, 0)]);
    check(&|sb| sb.reclaimable += 1, &[count("reclaimable blocks", None, 1, 0)]);
    check(&|sb| sb.layers += 1, &[count("layer records", None, 9, 8)]);
    check(&|sb| sb.deleted += 1, &[count("deleted layers", None, 1, 0)]);
    check(&|sb| sb.staged += 1, &[count("staged attachments", None, 1, 0)]);
    check(&|sb| sb.max_height = 2, &[count("highest map", None, 2, 3)]);
    let merge = cowl::format::MergeState { layer: CLONE, mode: cowl::format::MergeMode::Merge, front: 0, limit: 0 };
    check(&|sb| sb.merge = merge, &[field(CLONE, "merge_layer", CLONE.into(), 0)]);
    let (first, fixed) = (sound.spares.get(0).unwrap(), 5);
    check(
        &|sb| sb.spares = core::iter::once(fixed).chain(sb.spares.iter().skip(1)).collect(),
        &[
            Finding::Damaged { what: Object::Superblock, block: fixed, layer: None },
            count("free blocks", None, sound.free, sound.free + 1),
            Finding::Leaked { block: first },
        ],
    );
}

#[test]
fn a_wrong_count_or_bit_of_the_space_map_is_found() {
    let sample = sample();
    let layout = sample.layout();
    assert_eq!(layout.levels(), 1);
    let free = |level, first, stored, counted| Finding::FreeCount { level, first, stored, counted };
    let root = sample.superblock.space.free;

    let mut image = sample.clone();
    image.superblock.space.free += 7;
    assert_eq!(findings(&image.seal()), [free(1, 0, root + 7, root)]);

    // A group that calls itself full is looked at all the same.
    for group in 0..2 {
        let mut image = sample.clone();
        let mut right = 0;
        image.change_space(0, group, |entry, _| right = std::mem::take(&mut entry.free));
        assert!(right > 0);
        assert_eq!(findings(&image.seal()), [free(0, group * 4096, 0, right)]);
    }

    let block = last_block(&sample);
    let mut image = sample.clone();
    let mut right = 0;
    image.change_space(0, 0, |entry, bitmap| {
        right = entry.free;
        bitmap[usize::try_from(block / 8).unwrap()] &= !(1 << (block % 8));
    });
    let expected = [Finding::NotMarked { block }, free(0, 0, right, right + 1), free(1, 0, root, root + 1)];
    assert_eq!(findings_as_a_set(&image.seal()), as_a_set(&expected));

    // One more block than is used, with all counts as they would have to be.
    let mut image = sample.clone();
    let lost = 4096 + 4095 - 3300;
    image.superblock.free -= 1;
    image.superblock.space.free -= 1;
    image.change_space(0, 1, |entry, bitmap| {
        entry.free -= 1;
        bitmap[(lost - 4096) / 8] |= 1 << (lost % 8);
    });
    let lost = u64::try_from(lost).unwrap();
    let stored = sample.superblock.free - 1;
    let expected = [count("free blocks", None, stored, stored + 1), Finding::Leaked { block: lost }];
    assert_eq!(findings(&image.seal()), expected);

    // A fixed block that could be given out.
    let mut image = sample.clone();
    image.change_space(0, 1, |entry, bitmap| {
        entry.free += 1;
        bitmap[0] &= !1;
    });
    image.superblock.space.free += 1;
    assert_eq!(findings(&image.seal()), [Finding::NotMarked { block: 4096 }]);

    // A node from the future would be overwritten while the durable superblock leads to it.
    let mut image = sample.clone();
    let mut copy = 0;
    image.change_space(0, 1, |entry, _| {
        entry.generation += 1 << 40;
        copy = entry.copy;
    });
    let place = layout.space_place(0, 1, copy);
    assert_eq!(findings(&image.seal()), [Finding::Damaged { what: Object::SpaceMap, block: place, layer: None }]);
}

fn as_a_set(findings: &[Finding]) -> Vec<String> {
    let mut texts: Vec<String> = findings.iter().map(|finding| format!("{finding:?}")).collect();
    texts.sort();
    texts
}

fn findings_as_a_set(disk: &SparseDisk) -> Vec<String> {
    as_a_set(&findings(disk))
}

#[test]
fn too_little_memory_for_counting_is_refused() {
    let mut workspace = vec![0; 1 << 16];
    let mut pool = Pool::mount(sample().disk, &mut workspace, &MountOptions::default()).unwrap();
    assert_eq!(pool.check(&mut [0; 63], false, &mut |_| {}), Err(Error::WorkspaceTooSmall { needed: 64 }));
}

/// Blocks that nobody owned: the next merge would have freed them under whoever reads them.
#[test]
fn what_a_layer_inherits_and_its_parent_does_not_have_is_found() {
    let (mut disk, mut workspace) = formatted(800);
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("volume"), 100, LayerFlags::empty()).unwrap();
    pool.write(volume, 0, &vec![1; 100 * 512]).unwrap();
    let snapshot = pool.snapshot(volume, &named("snapshot")).unwrap();
    let clone = pool.clone_snapshot(snapshot, &named("clone"), false).unwrap();
    pool.write(volume, 70, &[2; 512]).unwrap();
    pool.unmount().unwrap();
    let mut image = Image::new(disk);
    let root = image.layer(snapshot.0).root;
    let mut inherited: Vec<(u64, LayerId)> = vec![(root.block, clone)];
    let node = |image: &mut Image, block: u64| {
        let bytes = image.block(block);
        (0..32).map(|i| Entry::decode(&bytes, i * Entry::SIZE)).filter(Entry::is_block).collect::<Vec<_>>()
    };
    // The volume has a root and one leaf of its own: three leaves and 31 blocks are the snapshot's.
    let leaves = node(&mut image, root.block);
    inherited.extend(leaves.iter().map(|leaf| (leaf.block, volume)));
    let (rewritten, leaf) = (inherited.remove(3), leaves[2]);
    assert_eq!(rewritten, (leaf.block, volume));
    for (i, data) in node(&mut image, leaf.block).into_iter().enumerate() {
        if i != 70 % 32 {
            inherited.push((data.block, volume));
        }
    }
    image.change_layer(snapshot.0, |layer| layer.root = Entry::EMPTY);
    let mut found: Vec<(u64, LayerId)> = findings(&image.seal())
        .into_iter()
        .filter_map(|finding| match finding {
            Finding::Damaged { what: Object::MapNode, block, layer: Some(layer) } => Some((block, layer)),
            _ => None,
        })
        .collect();
    found.sort_unstable_by_key(|(block, layer)| (layer.0, *block));
    inherited.sort_unstable_by_key(|(block, layer)| (layer.0, *block));
    assert_eq!(found, inherited);
}
