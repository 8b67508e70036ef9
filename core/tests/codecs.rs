//! The codecs and the arithmetic of the layout, number by number: what a round trip alone would not notice.

// An interpreter takes minutes; `small_exploration.rs` is made for it.
#![cfg(not(miri))]

use std::collections::BTreeSet;

use cowl::{
    Delta, LayerFlags, LayerId, LayerKind, Name, crc32c,
    format::{
        Entry, Label, Layer, LayerView, Layout, MAGIC, RECORD_SIZE, Record, SPARES, SpaceEntry, Spares, Superblock,
        SuperblockView, UNIT_HEADER, Unit, height_for, height_limit, nodes_for,
    },
};

#[test]
fn the_spares_are_a_list_with_an_end() {
    let mut spares = Spares::default();
    assert!(spares.is_empty() && spares.pop().is_none() && spares.get(0).is_none());
    let blocks: Vec<u64> = (0..24).map(|i| 0xa0_0000_0000 + i * 257).collect();
    assert!(blocks.iter().all(|block| spares.push(*block)));
    assert!(!spares.push(1), "there is no room for one more");
    assert_eq!((spares.len(), SPARES), (24, 24));
    assert!(!spares.is_empty());
    assert_eq!(spares.iter().collect::<Vec<_>>(), blocks);
    assert_eq!([0, 1, 23, 24].map(|at| spares.get(at)), [Some(blocks[0]), Some(blocks[1]), Some(blocks[23]), None]);
    assert_eq!(blocks.iter().copied().chain([5, 6]).collect::<Spares>(), spares, "what does not fit is left out");
    assert_eq!((spares.pop(), spares.pop(), spares.len()), (Some(blocks[23]), Some(blocks[22]), 22));
    let (one, two): (Spares, Spares) = ([7].into_iter().collect(), [7, 9].into_iter().collect());
    assert_ne!(one, two);
    assert_eq!(format!("{two:?}"), "[7, 9]");
}

#[test]
fn spares_that_are_to_come_later_come_in_order_however_many_there_are() {
    for (first, later) in (0..=SPARES).flat_map(|first| (0..=SPARES).map(move |later| (first, later))) {
        let mut memory = [0xee; Spares::MEMORY];
        let mut spares = Spares::new(&mut memory[..]);
        let mut expected: Vec<u64> = (0..first as u64).map(|block| 1000 + block).collect();
        assert!(expected.iter().all(|block| spares.push(*block)));
        for place in 0..later {
            let (block, room) = (2000 + place as u64, first + place < SPARES);
            assert_eq!(spares.push_later(block), room);
            expected.extend(room.then_some(block));
        }
        assert_eq!((spares.len(), spares.in_all()), (first, expected.len()), "{first} and {later}");
        spares.add_later_ones();
        assert_eq!((spares.iter().collect::<Vec<_>>(), spares.in_all()), (expected.clone(), expected.len()));
        // As they lie in a superblock, and back: nothing of an earlier list is left.
        let mut fields = [0xff; Superblock::FIELDS];
        spares.put(&mut fields);
        assert!(fields[224 + 6 * expected.len()..].iter().all(|byte| *byte == 0), "{first} and {later}");
        let mut taken = Spares::default();
        taken.push_later(7);
        taken.take(&fields);
        assert_eq!((taken.iter().collect::<Vec<_>>(), taken.in_all()), (expected.clone(), expected.len()));
    }
}

#[test]
fn a_checkpoint_changes_its_own_fields_of_a_superblock_and_clears_what_must_be_zero() {
    let always = |_: u32, _: &[u8]| 0;
    let mut bytes = [0; 512];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[16..32].fill(9);
    let state = Superblock::decode(&bytes, always).unwrap().state;
    let mut fields = [0xff; Superblock::FIELDS];
    state.put(&mut fields);
    for zeros in [113..114, 115..120, 157..160, 172..176, 204..216] {
        assert!(fields[zeros.clone()].iter().all(|byte| *byte == 0), "{zeros:?}");
    }
    for kept in [0..32, 40..56, 64..72, 192..204, 216..368] {
        assert!(fields[kept.clone()].iter().all(|byte| *byte == 0xff), "{kept:?}");
    }
    assert_eq!(SuperblockView(&fields).state(), state);
}

#[test]
fn an_entry_is_a_block_or_zeros_or_nothing() {
    let block = Entry { block: 9, birth: 4, crc: 1, ..Entry::EMPTY };
    assert_eq!([block, Entry::ZERO, Entry::EMPTY].map(|entry| entry.is_block()), [true, false, false]);
    assert_eq!([block, Entry::ZERO, Entry::EMPTY].map(|entry| entry.is_empty()), [false, false, true]);
    assert!(block.same(&Entry { crc: 2, ..block }), "the checksum follows from the content");
    assert!(!block.same(&Entry { birth: 5, ..block }));
    assert!(!block.same(&Entry { block: 8, ..block }));
    assert!(Entry::ZERO.same(&Entry { birth: 3, ..Entry::ZERO }), "what is no block has no birth");
    assert!(!Entry::ZERO.same(&Entry::EMPTY));
    assert!(!Entry::EMPTY.same(&block));
}

#[test]
fn a_space_entry_keeps_forty_seven_bits_of_its_generation_beside_its_copy() {
    for (copy, low) in [(0, 0), (1, 1)] {
        let entry = SpaceEntry { free: 0x0605_0403_0201, copy, generation: 0x5a7b_8c9d_0e1f, crc: 2 };
        let mut bytes = [0; 16];
        entry.encode(&mut bytes, 0);
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 0xf6 | low, 0xb4, 0x1f, 0x0e, 0x9d, 0x8c, 2, 0, 0, 0]);
        assert_eq!(SpaceEntry::decode(&bytes, 0), entry);
        assert!(entry.is_written());
    }
    assert!(!SpaceEntry { free: 1, ..SpaceEntry::default() }.is_written());
}

#[test]
fn a_unit_is_taken_for_one_only_if_it_has_a_header_and_room_for_its_records() {
    assert_eq!([0, 47, 48, 79, 80, 512].map(Unit::capacity), [0, 0, 0, 0, 1, 14]);
    // With a checksum that is always right nothing but the form is left to be looked at.
    let always = |_: u32, _: &[u8]| 0;
    let mut bytes = [0; UNIT_HEADER];
    assert_eq!(Unit::decode(&bytes, always), None, "no magic");
    bytes[..4].copy_from_slice(b"CWLJ");
    assert_eq!(Unit::decode(&bytes[..3], always), None);
    assert_eq!(Unit::decode(&bytes[..47], always), None, "too short for a header");
    assert!(Unit::decode(&bytes, always).is_some_and(|unit| unit.count == 0));
    bytes[40] = 1;
    assert_eq!(Unit::decode(&bytes, always), None, "no room for the record");
    let mut full = [0; 512];
    let unit = Unit { uuid: [3; 16], generation: 7, sequence: 8, mark: 9, count: 14 };
    Record { layer: 1, ..Record::default() }.encode(&mut full, 512 - Record::SIZE);
    unit.seal(&mut full, crc32c);
    assert_eq!(Unit::decode(&full, crc32c), Some(unit));
}

#[test]
fn every_kind_of_layer_comes_back_and_no_other() {
    let mut bytes = [0; RECORD_SIZE];
    for kind in [LayerKind::Volume, LayerKind::Snapshot, LayerKind::Attachment] {
        let layer = Layer { id: 5, kind, ..Layer::FREE };
        let label = Label { name: Name::new("ab").unwrap(), ..Label::NONE };
        layer.encode(&mut bytes);
        label.encode(&mut bytes);
        assert_eq!(LayerView::new(&bytes).label(), label);
        assert_eq!(Layer::decode(&bytes), Some(layer));
        assert!(Layer::has_name(&bytes, "ab"));
        assert!(!Layer::has_name(&bytes, "a") && !Layer::has_name(&bytes, "abc") && !Layer::has_name(&bytes, "cd"));
    }
    bytes[4] = 3;
    assert_eq!(Layer::decode(&bytes), None);
    Layer::FREE.encode(&mut bytes);
    assert!(!Layer::has_name(&bytes, "ab"), "a free slot has no name");
}

#[test]
fn what_a_record_says_is_what_its_reader_sees() {
    let plain = Layer { id: 5, family: 5, data: 3, nodes: 4, ..Layer::FREE };
    let mut bytes = [0; RECORD_SIZE];
    plain.encode(&mut bytes);
    let info = LayerView::new(&bytes).info();
    assert_eq!((info.id, info.family, info.parent, info.owner), (LayerId(5), LayerId(5), None, None));
    assert_eq!((info.reverted_at, info.reverted_from, info.delta), (None, None, Delta { data: 3, nodes: 4 }));
    let other = Layer { parent: 2, owner: 3, flags: LayerFlags::DELETED, ..plain };
    other.encode(&mut bytes);
    Label { reverted_at: 0, reverted_from: 4, ..Label::NONE }.encode(&mut bytes);
    let info = LayerView::new(&bytes).info();
    assert_eq!((info.parent, info.owner), (Some(LayerId(2)), Some(LayerId(3))));
    assert_eq!((info.reverted_at, info.reverted_from), (Some(0), Some(LayerId(4))));
    assert!(other.is_deleted() && !plain.is_deleted());
}

#[test]
fn a_superblock_with_a_mode_or_a_count_that_cannot_be_is_none() {
    let always = |_: u32, _: &[u8]| 0;
    let mut bytes = [0; 512];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[32] = 9;
    bytes[52] = 12;
    assert_eq!(Superblock::look(&bytes, always), Some((9, 12)));
    assert_eq!(Superblock::look(&bytes[..511], always), None);
    for mode in 0..3 {
        bytes[156] = mode;
        let found = Superblock::decode(&bytes, always).map(|superblock| superblock.merge.mode);
        assert_eq!(found.map(|mode| mode as u8), Some(mode));
    }
    for (at, bad) in [(156, 3), (216, 25), (12, 1), (0, b'X')] {
        let good = core::mem::replace(&mut bytes[at], bad);
        assert_eq!(Superblock::look(&bytes, always), None, "{bad} at byte {at}");
        bytes[at] = good;
    }
    bytes[216] = 24;
    assert_eq!(Superblock::decode(&bytes, always).map(|superblock| superblock.spares.len()), Some(24));
}

/// The blocks that a layout sets aside, from the rule alone.
fn fixed(layout: &Layout) -> BTreeSet<u64> {
    let first = 0..4 + layout.journal_blocks + 2 * u64::from(layout.max_levels() + 1);
    let mut places: BTreeSet<u64> = first.collect();
    for group in 1..layout.groups() {
        let mut level = 0;
        while level <= layout.max_levels() && group % (1 << (layout.fan_shift() * level)) == 0 {
            let start = group << layout.group_shift();
            places.extend([start + 2 * u64::from(level), start + 2 * u64::from(level) + 1]);
            level += 1;
        }
    }
    places
}

#[test]
fn what_is_fixed_follows_from_level_and_index_alone() {
    let blocks = if cfg!(miri) { 5000 } else { 4096 * 33 + 20 };
    for (journal_blocks, total) in [(4, blocks), (200, 5000)] {
        let layout = Layout { block_shift: 9, total, journal_blocks };
        let fixed = fixed(&layout);
        for block in 0..layout.total {
            assert_eq!(layout.is_fixed(block), fixed.contains(&block), "block {block}");
        }
    }
    let layout = Layout { block_shift: 9, total: 1 << 30, journal_blocks: 4 };
    let places = [(0, 0, 0), (0, 0, 1), (1, 0, 0), (2, 0, 1), (0, 1, 0), (0, 1, 1), (1, 1, 0), (2, 1, 1)];
    let found = places.map(|(level, index, copy)| layout.space_place(level, index, copy));
    assert_eq!(found, [8, 9, 10, 13, 4096, 4097, (32 << 12) + 2, (1024 << 12) + 5]);
}

#[test]
fn a_last_group_of_nothing_but_fixed_blocks_is_left_out() {
    for total in [30, 4095, 4096, 4097, 4098, 4099, 8192, 8194, 8195, 32 * 4096 + 4, 32 * 4096 + 5] {
        let layout = Layout { block_shift: 9, total, journal_blocks: 4 };
        let fixed = fixed(&layout);
        let start = (total - 1) & !4095;
        let last_is_of_use = (start..total).any(|block| !fixed.contains(&block));
        assert_eq!(layout.usable_total(), if last_is_of_use { total } else { start }, "of {total}");
    }
}

#[test]
fn a_node_of_the_space_map_covers_what_its_level_and_index_say() {
    let layout = Layout { block_shift: 9, total: 4096 * 33 + 100, journal_blocks: 4 };
    let places = [(0, 0), (0, 1), (0, 33), (1, 0), (1, 1), (1, 2), (2, 0), (8, 0)];
    let ranges = places.map(|(level, index)| layout.space_range(level, index));
    let (start, end) = (4096 * 32, layout.total);
    let last = 4096 * 33;
    let expected = [(0, 4096), (4096, 8192), (last, end), (0, start), (start, end), (end, end), (0, end), (0, end)];
    assert_eq!(ranges, expected);
    let levels = [1, 4096, 4097, 4096 * 32, 4096 * 32 + 1, 1 << 22, (1 << 22) + 1, 1 << 48]
        .map(|total| Layout { total, ..layout }.levels());
    assert_eq!(levels, [0, 0, 1, 1, 2, 2, 3, 8]);
}

#[test]
fn the_limits_of_trees_follow_from_their_fan_out() {
    assert_eq!([5, 6, 8, 12].map(height_limit), [10, 8, 6, 4]);
    assert_eq!([5, 8, 12].map(|fan_shift| height_for(u64::MAX, fan_shift)), [10, 6, 4]);
    assert_eq!([5, 8, 12].map(|fan_shift| height_for(1 << 48, fan_shift)), [10, 6, 4]);
    let layouts = [9, 12, 16].map(|block_shift| Layout { block_shift, total: 1 << 20, journal_blocks: 4 });
    assert_eq!(layouts.map(|layout| layout.fan_shift()), [5, 8, 12]);
    assert_eq!(layouts.map(|layout| layout.group_shift()), [12, 15, 19]);
    assert_eq!(layouts.map(|layout| layout.max_levels()), [8, 5, 3]);
    assert_eq!(layouts.map(|layout| layout.groups()), [256, 32, 2]);
    assert_eq!(nodes_for(1025, 3, 5), 33 + 2 + 1);
    assert_eq!(nodes_for(0, 2, 5), 2);
}
