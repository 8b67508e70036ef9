//! Every object on the device with its place, read from the bytes alone: what `cowl inspect` shows.
//!
//! Nothing is mounted and nothing written. Damage does not end the walk: what cannot be read is said, and the rest is shown.

use std::borrow::Cow;

use cowl::{
    BlockDevice, LayerKind, Name,
    format::{
        Entry, GROUP_START, Layer, LayerView, Layout, MergeMode, RECORD_SIZE, Record, SLOT_SIZE, SUPERBLOCKS,
        SpaceEntry, Superblock, UNIT_HEADER, Unit,
    },
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::failure::{Failure, Kind};
use crate::{HostDevice, crc32c};

/// An object on the device.
#[derive(Debug, Serialize, Deserialize)]
pub struct Item {
    /// What kind of object.
    pub object: Cow<'static, str>,
    /// Where, in bytes from the start of the device; none for what has no place.
    pub offset: Option<u64>,
    /// How long, in bytes.
    pub length: u64,
    /// What is in it.
    pub about: String,
}

/// Walks the whole pool. Data blocks are left out unless asked for: there can be very many.
///
/// # Errors
/// There is no superblock that can be read, or the device fails.
pub fn walk(device: &mut HostDevice, data: bool) -> Result<Vec<Item>, Failure> {
    let mut walker = Walker::open(device)?;
    walker.journal()?;
    walker.space()?;
    let layers = walker.catalog()?;
    for (layer, name) in &layers {
        walker.map(layer, &title(layer, name), data)?;
    }
    Ok(walker.items)
}

struct Walker<'d> {
    device: &'d mut HostDevice,
    sb: Superblock,
    layout: Layout,
    items: Vec<Item>,
}

impl<'d> Walker<'d> {
    /// Finds the superblock slots, whatever the block size.
    fn open(device: &'d mut HostDevice) -> Result<Self, Failure> {
        for shift in 9..=16 {
            let mut items = Vec::new();
            let mut newest: Option<Superblock> = None;
            for slot in 0..SUPERBLOCKS {
                let offset = slot << shift;
                let found = read(device, offset, 1 << shift)?
                    .and_then(|bytes| Superblock::decode(&bytes, crc32c))
                    .filter(|sb| sb.block_shift == shift);
                let about = match &found {
                    Some(sb) => describe(sb),
                    None => "not readable: never written, or damaged".to_owned(),
                };
                items.push(Item {
                    object: "superblock".into(),
                    offset: Some(offset),
                    length: 1 << shift,
                    about: format!("slot {slot}: {about}"),
                });
                if let Some(sb) = found
                    && newest.as_ref().is_none_or(|newest| newest.generation < sb.generation)
                {
                    newest = Some(sb);
                }
            }
            if let Some(sb) = newest {
                let layout = sb.layout();
                return Ok(Self { device, sb, layout, items });
            }
        }
        Err(Failure::new(Kind::NotFound, "there is no superblock that can be read")
            .hint("check the path; `cowl format` makes a pool"))
    }

    fn block_size(&self) -> u64 {
        1 << self.layout.block_shift
    }

    fn push(&mut self, object: &'static str, block: u64, about: String) {
        let size = self.block_size();
        self.items.push(Item {
            object: object.into(),
            offset: Some(block << self.layout.block_shift),
            length: size,
            about,
        });
    }

    /// A block's bytes if they match their checksum; else it is said what is wrong with it.
    fn load(&mut self, object: &'static str, block: u64, crc: u32, about: &str) -> Result<Option<Vec<u8>>, Failure> {
        let size = self.block_size();
        let offset = block << self.layout.block_shift;
        let bytes = read(self.device, offset, size)?.filter(|bytes| crc32c(0, bytes) == crc);
        let damage = if bytes.is_some() { "" } else { " (DAMAGED: does not match its checksum)" };
        self.push(object, block, format!("{about}{damage}"));
        Ok(bytes)
    }

    fn journal(&mut self) -> Result<(), Failure> {
        let unit = 1_u64 << self.sb.unit_shift;
        let start = GROUP_START << self.layout.block_shift;
        let (mut idle, mut live) = (0, true);
        for place in 0..u64::from(self.sb.journal_units) {
            let offset = start + place * unit;
            let bytes = read(self.device, offset, unit)?.unwrap_or_default();
            let found = Unit::decode(&bytes, crc32c).filter(|unit| unit.uuid == self.sb.uuid);
            let Some(header) = found else {
                live = false;
                idle += 1;
                continue;
            };
            live &= header.generation == self.sb.generation && u64::from(header.sequence) == place + 1;
            let state = if live { "live" } else { "of the past" };
            let about = format!(
                "place {place}: {state}, unit {} of generation {}, {} records, proven to unit {}",
                header.sequence, header.generation, header.count, header.mark
            );
            self.items.push(Item { object: "journal".into(), offset: Some(offset), length: unit, about });
            if live {
                self.records(&bytes, offset, header.count);
            }
        }
        if idle > 0 {
            self.items.push(Item {
                object: "journal".into(),
                offset: None,
                length: idle * unit,
                about: format!("{idle} places without a unit of this pool"),
            });
        }
        Ok(())
    }

    fn records(&mut self, bytes: &[u8], offset: u64, count: u16) {
        for index in 0..usize::from(count) {
            let at = UNIT_HEADER + index * Record::SIZE;
            let record = Record::decode(bytes, at);
            let about = format!("layer #{} block {} becomes {}", record.layer, record.address, entry(&record.entry));
            self.items.push(Item {
                object: "record".into(),
                offset: Some(offset + at as u64),
                length: Record::SIZE as u64,
                about,
            });
        }
    }

    fn space(&mut self) -> Result<(), Failure> {
        let mut stack = vec![(self.layout.levels(), 0, self.sb.space)];
        while let Some((level, index, node)) = stack.pop() {
            if !node.is_written() {
                continue;
            }
            let block = self.layout.space_place(level, index, node.copy);
            let kind = if level == 0 { "bitmap".to_owned() } else { format!("level {level}") };
            let (first, end) = self.layout.space_range(level, index);
            let about = format!(
                "{kind} of blocks {first} to {}: {} free, copy {}, generation {}",
                end.saturating_sub(1),
                node.free,
                node.copy,
                node.generation
            );
            let Some(bytes) = self.load("space map", block, node.crc, &about)? else { continue };
            if level > 0 {
                let fan = 1 << self.layout.fan_shift();
                stack.extend(
                    (0..fan)
                        .rev()
                        .map(|child| (level - 1, index * fan + child, SpaceEntry::decode(&bytes, index_of(child)))),
                );
            }
        }
        let spares = self.sb.spares;
        for block in spares.iter() {
            self.push("spare", block, "free, at hand for the catalog".to_owned());
        }
        Ok(())
    }

    fn catalog(&mut self) -> Result<Vec<(Layer, Name)>, Failure> {
        let mut layers = Vec::new();
        let mut stack = vec![(u32::from(self.sb.catalog_height), 0, self.sb.catalog)];
        while let Some((level, index, node)) = stack.pop() {
            if !node.is_block() {
                continue;
            }
            let kind = if level == 0 { format!("page {index}") } else { format!("node of level {level}") };
            let Some(bytes) = self.load("catalog", node.block, node.crc, &kind)? else { continue };
            if level == 0 {
                self.page(&bytes, index, node.block, &mut layers);
                continue;
            }
            let fan = 1 << self.layout.fan_shift();
            stack.extend(
                (0..fan).rev().map(|child| (level - 1, index * fan + child, Entry::decode(&bytes, index_of(child)))),
            );
        }
        Ok(layers)
    }

    fn page(&mut self, bytes: &[u8], page: u64, block: u64, layers: &mut Vec<(Layer, Name)>) {
        let start = page << self.layout.block_shift;
        for at in (0..bytes.len() as u64).step_by(512).filter(|at| (start + at).is_multiple_of(SLOT_SIZE)) {
            let from = usize::try_from(at).unwrap_or(usize::MAX);
            let Some(record) = bytes.get(from..from + RECORD_SIZE) else { continue };
            let about = match Layer::decode(record) {
                Some(layer) if layer.id == 0 => continue,
                Some(layer) => {
                    let name = LayerView::new(record).name();
                    layers.push((layer, name));
                    record_about(&layer, &name)
                }
                None => "DAMAGED: not a record".to_owned(),
            };
            self.items.push(Item {
                object: "layer".into(),
                offset: Some((block << self.layout.block_shift) + at),
                length: SLOT_SIZE,
                about,
            });
        }
    }

    /// What a layer owns: each block of the pool belongs to one layer, so all walks together show each one once.
    fn map(&mut self, layer: &Layer, title: &str, data: bool) -> Result<(), Failure> {
        let mut run: Option<(u64, u64, u64)> = None;
        let mut stack = vec![(u32::from(layer.height), 0_u64, layer.root)];
        while let Some((level, address, node)) = stack.pop() {
            if !node.is_block() || !self.owns(layer, level, address, &node) {
                continue;
            }
            if level == 0 {
                run = match run {
                    _ if !data => None,
                    Some((block, at, count)) if block + count == node.block && at + count == address => {
                        Some((block, at, count + 1))
                    }
                    other => {
                        self.data(title, other);
                        Some((node.block, address, 1))
                    }
                };
                continue;
            }
            self.data(title, run.take());
            let about = format!("{title}: level {level}, blocks from {address}, epoch {}", node.birth);
            let Some(bytes) = self.load("map", node.block, node.crc, &about)? else { continue };
            let (fan, span) = (1 << self.layout.fan_shift(), 1_u64 << (self.layout.fan_shift() * (level - 1)).min(63));
            stack.extend((0..fan).rev().map(|child| {
                (level - 1, address.saturating_add(child * span), Entry::decode(&bytes, index_of(child)))
            }));
        }
        self.data(title, run);
        Ok(())
    }

    fn data(&mut self, title: &str, run: Option<(u64, u64, u64)>) {
        if let Some((block, address, count)) = run {
            let (offset, length) = (block << self.layout.block_shift, count << self.layout.block_shift);
            let about = format!("{title}: {count} blocks from {address}");
            self.items.push(Item { object: "data".into(), offset: Some(offset), length, about });
        }
    }

    /// An entry belongs to the layer if it was born after the parent's epoch; while a merge runs, its front decides.
    fn owns(&self, layer: &Layer, level: u32, address: u64, node: &Entry) -> bool {
        let merge = &self.sb.merge;
        let merging = merge.mode == MergeMode::Merge && merge.layer != 0;
        let below = address < merge.front;
        if merging && merge.layer == layer.id {
            let span = 1_u64 << (self.layout.fan_shift() * level).min(63);
            return node.birth > layer.parent_epoch && address.saturating_add(span) > merge.front;
        }
        let limit = if merging && below && layer.parent == merge.layer { merge.limit } else { layer.parent_epoch };
        node.birth > limit
    }
}

/// A range of the device; `None` if it cannot be read or lies outside.
fn read(device: &mut HostDevice, offset: u64, length: u64) -> Result<Option<Vec<u8>>, Failure> {
    let sector = u64::from(device.geometry().sector_size);
    let inside = offset.checked_add(length).is_some_and(|end| end <= device.size());
    if !inside || !offset.is_multiple_of(sector) || !length.is_multiple_of(sector) {
        return Ok(None);
    }
    let mut bytes =
        vec![0; usize::try_from(length).map_err(|_| Failure::new(Kind::Other, "too large for this machine"))?];
    device.read(offset / sector, &mut bytes)?;
    Ok(Some(bytes))
}

fn index_of(child: u64) -> usize {
    usize::try_from(child).unwrap_or(0) * Entry::SIZE
}

fn describe(sb: &Superblock) -> String {
    let merging = match sb.merge.mode {
        MergeMode::None => String::new(),
        mode => format!(", {mode:?} of #{} at block {}", sb.merge.layer, sb.merge.front),
    };
    format!(
        "generation {}, epoch {}, {} layers, {} of {} blocks free, uuid {}{merging}",
        sb.generation,
        sb.epoch,
        sb.layers,
        sb.free,
        sb.total,
        Uuid::from_bytes(sb.uuid)
    )
}

fn entry(entry: &Entry) -> String {
    match (entry.is_block(), entry.is_empty()) {
        (true, _) => format!("block {} (epoch {})", entry.block, entry.birth),
        (_, true) => "empty".to_owned(),
        _ => "zeros".to_owned(),
    }
}

fn title(layer: &Layer, name: &str) -> String {
    if name.is_empty() { format!("#{}", layer.id) } else { format!("#{} {name}", layer.id) }
}

fn record_about(layer: &Layer, name: &str) -> String {
    let kind = super::view::kind(layer.kind);
    let whose = if layer.kind == LayerKind::Attachment {
        format!("of #{}", layer.owner)
    } else {
        format!("on #{}", layer.parent)
    };
    let deleted = if layer.is_deleted() { ", deleted" } else { "" };
    format!(
        "{}: {kind} {whose}{deleted}, map of {} levels at block {}, owns {} data and {} map blocks",
        title(layer, name),
        layer.height,
        layer.root.block,
        layer.data,
        layer.nodes
    )
}
