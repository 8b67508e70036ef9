//! Images that somebody has made to harm: found by the fuzzer `hostile_image`, kept by name.

use cowl::{
    BlockDevice, Counting, Error, FormatOptions, LayerFlags, LayerId, MountOptions, Object, Pool, Reader,
    format::{Entry, Superblock},
};
use cowl_tests::{
    SparseDisk,
    edit::{Image, change_superblocks},
    named,
};

/// A pool with a volume of forty blocks, a snapshot of it and one more write.
fn sample() -> SparseDisk {
    let mut disk = SparseDisk::new(512, 400 * 512);
    let options = FormatOptions { pending: 4, journal_units: 3, ..FormatOptions::new(512, [1; 16]) };
    let mut workspace = vec![0; 1 << 16];
    Pool::format(&mut disk, &mut workspace, &options).unwrap();
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named("v"), 40, LayerFlags::empty()).unwrap();
    pool.write(volume, 0, &vec![1; 40 * 512]).unwrap();
    pool.snapshot(volume, &named("s")).unwrap();
    pool.write(volume, 3, &[2; 512]).unwrap();
    pool.checkpoint().unwrap();
    disk
}

fn mount<'w>(
    disk: &'w mut SparseDisk,
    workspace: &'w mut [u8],
) -> Result<Pool<'w, &'w mut SparseDisk>, Error<cowl_tests::PastEnd>> {
    Pool::mount(disk, workspace, &MountOptions::default())
}

/// Listing took hours: the catalog was looked through to the last number that the superblock names, far behind its pages.
#[test]
fn a_catalog_that_claims_four_billion_layers_is_listed_at_once() {
    let mut disk = sample();
    change_superblocks(&mut disk, &|sb| sb.next_layer = u32::MAX);
    let mut workspace = vec![0; 1 << 16];
    let mut pool = mount(&mut disk, &mut workspace).unwrap();
    let names: Vec<String> = pool.layers().map(|layer| layer.unwrap().name.to_string()).collect();
    assert_eq!(names, ["v", "s"]);
    assert_eq!(pool.find("nobody"), Ok(None));
    assert!(pool.stats().reads < 100, "{:?}", pool.stats());
}

/// A superblock that has forgotten a layer: its number would be given out again, and the new volume would have its map.
#[test]
fn a_number_that_is_taken_is_not_given_out_again() {
    let mut disk = sample();
    change_superblocks(&mut disk, &|sb| sb.next_layer = 2);
    let mut workspace = vec![0; 1 << 16];
    let mut pool = mount(&mut disk, &mut workspace).unwrap();
    let made = pool.create(&named("new"), 10, LayerFlags::empty());
    assert!(matches!(made, Err(Error::Corrupt { what: Object::Layer, .. })), "{made:?}");
    assert_eq!(pool.info().next_layer, 2, "nothing has changed");
}

/// A free slot was looked at four billion times: the catalog's tree led back to itself, so that every layer number had a page.
#[test]
fn a_catalog_that_goes_around_in_circles_is_damage() {
    fn no_sum(_: u32, _: &[u8]) -> u32 {
        0
    }
    let options = MountOptions { checksum: no_sum, ..MountOptions::default() };
    let mut disk = SparseDisk::new(512, 400 * 512);
    let mut workspace = vec![0; 1 << 16];
    let format = FormatOptions { checksum: no_sum, ..FormatOptions::new(512, [1; 16]) };
    Pool::format(&mut disk, &mut workspace, &format).unwrap();
    let circle = Entry { block: 300, birth: 1, ..Entry::EMPTY };
    let mut node = [0; 512];
    for offset in (0..512).step_by(Entry::SIZE) {
        circle.encode(&mut node, offset);
    }
    // As a page the node is a free slot: its first four bytes are zero.
    node[..4].fill(0);
    disk.write(300, &node).unwrap();
    for slot in 0..2u8 {
        let mut bytes = [0; 512];
        disk.read(u64::from(slot), &mut bytes).unwrap();
        let Some(mut superblock) = Superblock::decode(&bytes, no_sum) else { continue };
        superblock.catalog = circle;
        superblock.catalog_height = 5;
        superblock.next_layer = u32::MAX;
        superblock.generation += 2;
        superblock.encode(&mut bytes, slot, no_sum);
        disk.write(u64::from(slot), &bytes).unwrap();
    }
    let mut pool = Pool::mount(&mut disk, &mut workspace, &options).unwrap();
    let found = pool.next_record(Some(LayerId(31)));
    assert!(matches!(found, Err(Error::Corrupt { what: Object::Catalog | Object::Layer, .. })), "{found:?}");
    let mut findings = 0;
    pool.check(&mut [0; 64], true, &mut |_| findings += 1).unwrap();
    assert!(findings > 0 && pool.stats().reads < 100_000, "{findings} findings, {:?}", pool.stats());
    let mut disk = Counting::new(disk);
    let mut reader = Reader::mount(&mut disk, &mut workspace, no_sum).unwrap();
    let found = reader.find("nobody");
    assert!(matches!(found, Err(Error::Corrupt { what: Object::Catalog, .. })), "{found:?}");
    assert!(disk.counters().reads < 200_000, "{:?}", disk.counters());
}

/// Sums near the largest number made the admission of the first write overflow.
#[test]
fn sums_that_the_device_cannot_hold_are_damage() {
    let damaged = Error::Corrupt { what: Object::Superblock, block: 0 };
    let changes: [&dyn Fn(&mut Superblock); 4] =
        [&|sb| sb.guaranteed = u64::MAX, &|sb| sb.reclaimable = u64::MAX, &|sb| sb.layers = u32::MAX, &|sb| {
            sb.deleted = sb.layers + 1;
        }];
    for (i, one) in changes.iter().enumerate() {
        let mut disk = sample();
        change_superblocks(&mut disk, one);
        let mut workspace = vec![0; 1 << 16];
        assert_eq!(mount(&mut disk, &mut workspace).map(drop), Err(damaged), "change {i}");
    }
}

/// The error named the layer's number, or the place in the catalog, as if it were a block of the device.
#[test]
fn records_that_contradict_each_other_are_damage_in_the_block_that_holds_them() {
    let (volume, snapshot) = (LayerId(1), LayerId(2));
    let mut disk = sample();
    let mut workspace = vec![0; 1 << 16];
    let mut pool = mount(&mut disk, &mut workspace).unwrap();
    pool.delete(snapshot).unwrap();
    pool.unmount().unwrap();
    let sound = Image::new(disk);

    let mut image = sound.clone();
    image.change_layer(volume.0, |layer| layer.parent = 0);
    let block = image.page_of(snapshot.0);
    let mut disk = image.seal();
    let mut pool = mount(&mut disk, &mut workspace).unwrap();
    assert_eq!(pool.merge_step(10_000), Err(Error::Corrupt { what: Object::Layer, block }), "a child of nobody");

    let mut image = sound;
    image.change_label(volume.0, |label| label.description = 700);
    let block = image.page_of(volume.0);
    let mut disk = image.seal();
    let mut pool = mount(&mut disk, &mut workspace).unwrap();
    let text = pool.description(volume, &mut [0; 767]);
    assert_eq!(text, Err(Error::Corrupt { what: Object::Catalog, block }), "a text that has no page");
}

/// A superblock that lists a spare block twice: two nodes of the catalog got the same place, and the first of them was then written
/// to sector 2^64 - 1.
#[test]
fn a_spare_block_that_is_listed_twice_is_damage() {
    let mut disk = sample();
    change_superblocks(&mut disk, &|sb| {
        let last = sb.spares.iter().last().unwrap();
        sb.spares = sb.spares.iter().map(|_| last).collect();
    });
    let mut workspace = vec![0; 1 << 16];
    let mut pool = mount(&mut disk, &mut workspace).unwrap();
    let volume = pool.find("v").unwrap().unwrap().id;
    for _ in 0..2 {
        let refused = pool.snapshot(volume, &named("t"));
        assert!(matches!(refused, Err(Error::Corrupt { what: Object::Catalog, .. })), "{refused:?}");
    }
    assert_eq!(pool.layers().count(), 2);
    let mut bytes = [0; 512];
    pool.read(volume, 3, &mut bytes).unwrap();
    assert_eq!(bytes, [2; 512]);
}

/// Whoever listed the attachments of a layer never came to an end: the list led back to itself.
#[test]
fn a_list_of_attachments_that_goes_around_in_circles_is_damage() {
    let mut disk = sample();
    let mut workspace = vec![0; 1 << 16];
    let mut pool = mount(&mut disk, &mut workspace).unwrap();
    let volume = LayerId(1);
    let attachments: Vec<LayerId> = ["a", "b", "c"]
        .map(|name| {
            let staged = pool.stage_attachment(&named(name), 10).unwrap();
            pool.attach(volume, staged).unwrap();
            staged
        })
        .into_iter()
        .rev()
        .collect();
    let stranger = pool.next_attachment(LayerId(2), Some(attachments[0]));
    assert_eq!(stranger, Err(Error::NoSuchLayer(attachments[0])), "of another layer");
    pool.unmount().unwrap();
    for (last, back_to) in [(2, 0), (2, 1), (2, 2), (0, 0)] {
        let mut image = Image::new(disk.clone());
        image.change_layer(attachments[last].0, |layer| layer.next_attachment = attachments[back_to].0);
        let block = image.page_of(attachments[last].0);
        let mut disk = image.seal();
        let mut pool = mount(&mut disk, &mut workspace).unwrap();
        let mut after = None;
        for expected in &attachments[..=last] {
            after = pool.next_attachment(volume, after).unwrap().map(|info| info.id);
            assert_eq!(after, Some(*expected));
        }
        let circle = pool.next_attachment(volume, after);
        assert_eq!(circle, Err(Error::Corrupt { what: Object::Layer, block }), "from {last} to {back_to}");
    }
}
