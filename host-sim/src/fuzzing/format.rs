//! `format`: every codec on any bytes.

use cowl::{
    Name, crc32c,
    format::{
        Entry, Label, Layer, LayerView, Layout, RECORD_SIZE, Record, SUPERBLOCK_SIZE, SpaceEntry, Superblock,
        UNIT_HEADER, Unit, height_for, height_limit, nodes_for,
    },
};

use super::input::Input;

/// Decodes the bytes as an object that the first byte chooses. What decodes is encoded and must decode as the same; where
/// a checksum stands in the way, the bytes are given the right one first.
pub fn format(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 7 {
        0 => superblock(input.rest()),
        1 => unit(input.rest()),
        2 => entries(input.rest()),
        3 => layer(input.rest()),
        4 => name(input.rest()),
        5 => layout(&mut input),
        _ => checksum(input.byte(), input.rest()),
    }
}

/// The bytes, with zeros behind them up to a length.
fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| bytes.get(i).copied().unwrap_or(0))
}

/// The checksum of a whole object with its own field as zero.
fn sum_without(bytes: &[u8], field: usize) -> [u8; 4] {
    let sum = crate::crc32c(crate::crc32c(0, &bytes[..field]), &[0; 4]);
    crate::crc32c(sum, &bytes[field + 4..]).to_le_bytes()
}

fn superblock(bytes: &[u8]) {
    if let Some(found) = Superblock::decode(bytes, crate::crc32c) {
        assert!(bytes.len() >= SUPERBLOCK_SIZE, "{found:?} of {} bytes", bytes.len());
    }
    let mut bytes: [u8; SUPERBLOCK_SIZE] = padded(bytes);
    bytes[..8].copy_from_slice(cowl::format::MAGIC);
    let sum = sum_without(&bytes, 12);
    bytes[12..16].copy_from_slice(&sum);
    let Some(found) = Superblock::decode(&bytes, crate::crc32c) else { return };
    for slot in 0..4 {
        let mut again = [0xaa; SUPERBLOCK_SIZE];
        found.encode(&mut again, slot, crc32c);
        assert_eq!(Superblock::decode(&again, crate::crc32c).as_ref(), Some(&found));
        again[bytes[99] as usize * 2] ^= 1;
        assert_eq!(Superblock::decode(&again, crate::crc32c), None, "a flipped bit is not seen");
    }
}

fn unit(bytes: &[u8]) {
    if let Some(found) = Unit::decode(bytes, crate::crc32c) {
        assert!(usize::from(found.count) <= Unit::capacity(bytes.len()), "{found:?} of {} bytes", bytes.len());
    }
    let mut bytes: [u8; 512] = padded(bytes);
    bytes[..4].copy_from_slice(b"CWLJ");
    let sum = sum_without(&bytes, 4);
    bytes[4..8].copy_from_slice(&sum);
    let Some(found) = Unit::decode(&bytes, crate::crc32c) else { return };
    let mut again = [0; 512];
    for i in 0..usize::from(found.count) {
        let at = UNIT_HEADER + i * Record::SIZE;
        let record = Record::decode(&bytes, at);
        record.encode(&mut again, at);
        assert_eq!(Record::decode(&again, at), record);
    }
    found.seal(&mut again, crc32c);
    assert_eq!(Unit::decode(&again, crate::crc32c), Some(found));
    again[bytes[99] as usize * 2] ^= 1;
    assert_eq!(Unit::decode(&again, crate::crc32c), None, "a flipped bit is not seen");
}

fn entries(bytes: &[u8]) {
    let bytes: [u8; 2 * Entry::SIZE] = padded(bytes);
    let mut again = [0xaa; 2 * Entry::SIZE];
    let entry = Entry::decode(&bytes, 0);
    entry.encode(&mut again, 0);
    assert_eq!(Entry::decode(&again, 0), entry);
    assert_eq!(again[..Entry::SIZE], bytes[..Entry::SIZE], "every bit of an entry has a field");
    assert!(!(entry.is_block() && entry.is_empty()) && entry.same(&entry));
    let space = SpaceEntry::decode(&bytes, Entry::SIZE);
    space.encode(&mut again, Entry::SIZE);
    assert_eq!(SpaceEntry::decode(&again, Entry::SIZE), space);
}

fn layer(bytes: &[u8]) {
    let bytes: [u8; RECORD_SIZE] = padded(bytes);
    let Some(found) = Layer::decode(&bytes) else { return };
    let label = LayerView::new(&bytes).label();
    let mut again = [0xaa; RECORD_SIZE];
    found.encode(&mut again);
    label.encode(&mut again);
    assert_eq!(Layer::decode(&again), Some(found));
    assert_eq!(LayerView::new(&again).label(), label);
    assert_eq!(Layer::has_name(&again, &label.name), found.id != 0, "{found:?} {label:?}");
}

fn name(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Name::new(text) {
        Some(name) => {
            assert_eq!(name.as_str(), text);
            let layer = Layer { id: 1, ..Layer::FREE };
            let mut record = [0; RECORD_SIZE];
            layer.encode(&mut record);
            Label { name, ..Label::NONE }.encode(&mut record);
            assert_eq!(Layer::decode(&record), Some(layer));
            assert_eq!(LayerView::new(&record).name(), name);
        }
        None => assert!(text.is_empty() || text.len() > Name::CAPACITY || text.chars().any(char::is_control)),
    }
}

/// The arithmetic of the layout on any device that the format allows.
fn layout(input: &mut Input<'_>) {
    let block_shift = 9 + u32::from(input.byte()) % 8;
    let total = 1 + input.long() % (1 << 48);
    let journal_blocks = 1 + u64::from(input.short());
    let layout = Layout { block_shift, total, journal_blocks };
    let total = layout.usable_total();
    let fits = layout.fixed_in_group(0) < total && layout.fixed_in_group(0) < 1 << layout.group_shift();
    if !fits {
        return;
    }
    let layout = Layout { total, ..layout };
    assert_eq!(layout.usable_total(), total, "{layout:?}");
    let levels = layout.levels();
    assert!(levels <= layout.max_levels() && layout.free_when_unwritten(levels, 0) < total, "{layout:?}");
    let group = input.long() % layout.groups();
    for level in 0..=levels {
        let index = group >> (layout.fan_shift() * level);
        let (start, end) = layout.space_range(level, index);
        assert!(start < end && end <= total, "{layout:?} level {level} index {index}");
        for copy in 0..2 {
            let place = layout.space_place(level, index, copy);
            assert!(layout.is_fixed(place) && place < total, "{layout:?} level {level} index {index}");
        }
        if level > 0 && block_shift < 12 {
            let below = index << layout.fan_shift()..(index + 1) << layout.fan_shift();
            let sum: u64 = below.map(|index| layout.free_when_unwritten(level - 1, index)).sum();
            assert_eq!(layout.free_when_unwritten(level, index), sum, "{layout:?} level {level} index {index}");
        }
    }
    heights(total, layout.fan_shift());
}

fn heights(blocks: u64, fan: u32) {
    let height = height_for(blocks, fan);
    assert!((1..=height_limit(fan)).contains(&height));
    assert!(u32::from(height) * fan >= 48 || blocks <= 1 << (u32::from(height) * fan), "{blocks} {fan}");
    assert!(height == 1 || blocks > 1 << (u32::from(height - 1) * fan), "{blocks} {fan}");
    assert!(nodes_for(blocks, height, fan) >= u64::from(height));
}

/// In hardware, in software, whole and in two parts: the same sum.
fn checksum(cut: u8, bytes: &[u8]) {
    let (head, tail) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let whole = crc32c(0, bytes);
    assert_eq!(crate::crc32c(0, bytes), whole);
    assert_eq!(crc32c(crate::crc32c(0, head), tail), whole);
}
