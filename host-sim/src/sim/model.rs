//! The reference model: what a pool must hold, from its contract alone.
//!
//! A sector is a tag, 0 for zeros. Beside the present content the model knows what the last barrier made durable, what
//! was written to each sector since, and what the barrier in flight would make of it: that is all a crash may leave.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use super::disk::garbage_byte;

/// A volume or snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// It can be written.
    pub volume: bool,
    /// Its name.
    pub name: String,
    /// A tag for each sector.
    pub content: Vec<u64>,
}

/// All live layers, by number.
pub type Layers = BTreeMap<u32, Layer>;

/// What was read back from a pool: name and bytes of each layer.
pub type Found = BTreeMap<u32, (String, Vec<u8>)>;

/// The model of a pool.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// What a reader sees now.
    pub now: Layers,
    /// What the last barrier made durable.
    durable: Layers,
    /// Tags written to each sector of each volume since.
    open: BTreeMap<u32, BTreeMap<usize, BTreeSet<u64>>>,
    /// What the barrier in flight would make durable.
    in_flight: Option<Layers>,
    /// A reader never sees a torn sector: volumes with checksums of their data.
    pub whole: bool,
    /// Sectors that are torn together, 0 or 1 if each is torn for itself.
    pub unit: usize,
    /// What the base device shows where nothing was written; zeros behind its end.
    pub base: Vec<u64>,
}

/// What a crash in the middle of a barrier has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The state before it, with any of the writes since the barrier before that.
    Before,
    /// The state behind it.
    After,
    /// The two do not differ in what was found.
    Either,
}

/// The tag of a sector's bytes, if they are one tag over and over: the same bytes eight places further on.
pub fn tag_of(bytes: &[u8]) -> Option<u64> {
    let first = bytes.first_chunk::<8>()?;
    (bytes[8..] == bytes[..bytes.len() - 8]).then(|| u64::from_le_bytes(*first))
}

/// What stands for a sector's bytes: their tag, or a hash (FNV-1a) with the highest bit set if a power cut tore them.
pub fn value_of(bytes: &[u8]) -> u64 {
    let hash = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    tag_of(bytes).unwrap_or_else(|| bytes.iter().fold(0xcbf2_9ce4_8422_2325, hash) | 1 << 63)
}

/// Sectors' bytes for a tag; `length` is a multiple of eight.
pub fn bytes_of(tag: u64, length: usize) -> Vec<u8> {
    tag.to_le_bytes().repeat(length / 8)
}

impl Model {
    /// Numbers of the live volumes, or of the live snapshots.
    pub fn ids(&self, volumes: bool) -> Vec<u32> {
        self.now.iter().filter(|(_, layer)| layer.volume == volumes).map(|(id, _)| *id).collect()
    }

    /// Sectors of a volume are about to be written.
    pub fn write(&mut self, id: u32, sectors: std::ops::Range<usize>, tag: u64) {
        let open = self.open.entry(id).or_default();
        let layer = self.now.get_mut(&id).expect("a live volume");
        for sector in sectors {
            open.entry(sector).or_default().insert(tag);
            layer.content[sector] = tag;
        }
    }

    /// What a sector shows that was never written.
    pub fn unwritten(&self, sector: usize) -> u64 {
        self.base.get(sector).copied().unwrap_or_default()
    }

    /// A layer as the barrier in flight would leave it.
    pub fn during_barrier(&mut self, id: u32) -> &mut Layer {
        self.in_flight
            .as_mut()
            .and_then(|layers| layers.get_mut(&id))
            .expect("a barrier in flight that keeps the layer")
    }

    /// A barrier is about to begin that will leave the layers like this.
    pub fn begin(&mut self, after: Layers) {
        self.in_flight = Some(after);
    }

    /// The state while an operation is on its way: `self` is the state before it, `after` the one behind it.
    #[must_use]
    pub fn during(self, after: &Self, barrier: bool) -> Self {
        if barrier { Self { in_flight: Some(after.now.clone()), ..self } } else { after.clone() }
    }

    /// The barrier has returned.
    pub fn complete(&mut self) {
        if let Some(after) = self.in_flight.take() {
            self.now = after;
        }
        self.durable = self.now.clone();
        self.open.clear();
    }

    /// The barrier failed and changed nothing.
    pub fn refused(&mut self) {
        self.in_flight = None;
    }

    /// Compares with what a pool shows now.
    pub fn compare(&self, found: &Found, sector_size: usize) -> Result<(), String> {
        compare(&self.now, found, sector_size, &|_, _, _| false, &|_| None)
    }

    /// Compares with what a mount after a crash shows: the last barrier's state with any of the writes since, or the state of
    /// the barrier that was in flight.
    pub fn compare_after_crash(&self, found: &Found, sector_size: usize) -> Result<Outcome, String> {
        self.compare_undecided(found, sector_size, &|_| None)
    }

    /// The same where a sector may stand for several: `ways` tells what it could hold, and all of that must be allowed.
    pub fn compare_undecided(&self, found: &Found, sector_size: usize, ways: Ways<'_>) -> Result<Outcome, String> {
        let written = |id, sector, bytes: &[u8]| self.may_hold(id, sector, bytes);
        let before = compare(&self.durable, found, sector_size, &written, ways);
        let Some(after) = &self.in_flight else { return before.map(|()| Outcome::Before) };
        // A barrier may be durable while later writes are still on their way: none were, it had not returned.
        let after = || compare(after, found, sector_size, &|_, _, _| false, ways);
        match before {
            Ok(()) => Ok(if after().is_ok() { Outcome::Either } else { Outcome::Before }),
            Err(why) => after().map(|()| Outcome::After).map_err(|also| format!("{why}; and {also}")),
        }
    }

    /// A sector may hold this although no barrier has made it durable: something written since, or what tearing makes of it.
    fn may_hold(&self, id: u32, sector: usize, bytes: &[u8]) -> bool {
        let Some(open) = self.open.get(&id) else { return false };
        let unit = self.unit.max(1);
        if self.whole || open.range(sector / unit * unit..(sector / unit + 1) * unit).next().is_none() {
            return open.get(&sector).is_some_and(|tags| tag_of(bytes).is_some_and(|tag| tags.contains(&tag)));
        }
        let none = BTreeSet::new();
        let tags = open.get(&sector).unwrap_or(&none);
        if tag_of(bytes).is_some_and(|tag| tags.contains(&tag)) {
            return true;
        }
        let old = self.durable[&id].content[sector];
        let known = |tag: u64| tags.contains(&tag) || tag == old;
        let torn =
            |kind: bool, from: usize, part: &[u8]| (from..).zip(part).all(|(at, byte)| *byte == garbage_byte(kind, at));
        let part = |(i, part): (usize, &[u8])| {
            tag_of(part).is_some_and(known) || torn(false, 8 * i, part) || torn(true, 8 * i, part)
        };
        bytes.chunks(8).enumerate().all(part)
    }

    /// What a mount shows after the process was killed or the power was cut is what the next crash must keep (O7).
    pub fn adopt(&mut self, found: &Found, sector_size: usize) -> Result<Outcome, String> {
        let outcome = self.compare_after_crash(found, sector_size)?;
        let base = if outcome == Outcome::After { self.in_flight.take() } else { None };
        self.now = base.unwrap_or_else(|| self.durable.clone());
        self.in_flight = None;
        for (id, (_, bytes)) in found {
            let layer = self.now.get_mut(id).ok_or("a layer that is not known")?;
            for (sector, part) in bytes.chunks(sector_size).enumerate() {
                layer.content[sector] = value_of(part);
            }
        }
        self.complete();
        Ok(outcome)
    }
}

/// What a sector could hold, if it stands for several.
pub type Ways<'a> = &'a dyn Fn(&[u8]) -> Option<Vec<Rc<[u8]>>>;

/// Every layer is there, no other, and every sector has the expected tag or one that `or` allows.
fn compare(
    expected: &Layers,
    found: &Found,
    sector_size: usize,
    or: &dyn Fn(u32, usize, &[u8]) -> bool,
    ways: Ways<'_>,
) -> Result<(), String> {
    if !expected.keys().eq(found.keys()) {
        return Err(format!("layers {:?} instead of {:?}", found.keys(), expected.keys()));
    }
    for (id, layer) in expected {
        let (name, bytes) = &found[id];
        if *name != layer.name || bytes.len() != layer.content.len() * sector_size {
            return Err(format!("layer {id} is {name:?} of {} bytes instead of {:?}", bytes.len(), layer.name));
        }
        for (sector, part) in bytes.chunks(sector_size).enumerate() {
            let tag = layer.content[sector];
            let allowed = |bytes: &[u8]| value_of(bytes) == tag || or(*id, sector, bytes);
            if !allowed(part) && !ways(part).is_some_and(|ways| ways.iter().all(|bytes| allowed(bytes))) {
                return Err(format!("layer {id} sector {sector} is {:x} instead of {tag:x}", value_of(part)));
            }
        }
    }
    Ok(())
}
