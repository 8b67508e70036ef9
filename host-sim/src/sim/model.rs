//! The reference model: what a pool must hold, from its contract alone.
//!
//! A sector is a tag, 0 for zeros. Beside the present content the model knows what the last barrier made durable, what
//! was written to each sector since, and what the barrier in flight would make of it: that is all a crash may leave.

use std::collections::{BTreeMap, BTreeSet};

use super::disk::is_garbage;

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
}

/// The tag of a sector's bytes, if they are one tag over and over.
pub fn tag_of(bytes: &[u8]) -> Option<u64> {
    let first: [u8; 8] = bytes.get(..8)?.try_into().ok()?;
    bytes.chunks(8).all(|part| part == first).then(|| u64::from_le_bytes(first))
}

/// Sectors' bytes for a tag.
pub fn bytes_of(tag: u64, length: usize) -> Vec<u8> {
    tag.to_le_bytes().iter().copied().cycle().take(length).collect()
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
        compare(&self.now, found, sector_size, &|_, _, _| false)
    }

    /// Compares with what a mount after a crash shows: the last barrier's state with any of the writes since, or the state of
    /// the barrier that was in flight.
    pub fn compare_after_crash(&self, found: &Found, sector_size: usize) -> Result<(), String> {
        let written = |id: u32, sector: usize, bytes: &[u8]| {
            let tags = self.open.get(&id).and_then(|open| open.get(&sector));
            tags.is_some_and(|tags| tag_of(bytes).map_or(is_garbage(bytes), |tag| tags.contains(&tag)))
        };
        let before = compare(&self.durable, found, sector_size, &written);
        let Some(after) = &self.in_flight else { return before };
        // A barrier may be durable while later writes are still on their way: none were, it had not returned.
        before.or_else(|why| {
            compare(after, found, sector_size, &|_, _, _| false).map_err(|also| format!("{why}; and {also}"))
        })
    }

    /// What a mount shows after the process was killed is what the next crash must keep (O7).
    pub fn adopt(&mut self, found: &Found, sector_size: usize) -> Result<(), String> {
        self.compare_after_crash(found, sector_size)?;
        self.now = self.durable.clone();
        for (id, (_, bytes)) in found {
            let layer = self.now.get_mut(id).ok_or("a layer that is not known")?;
            for (sector, part) in bytes.chunks(sector_size).enumerate() {
                // A torn sector in flight may stay: it has no tag, so it is not looked at again before it is written.
                layer.content[sector] = tag_of(part).ok_or("a torn sector after a kill")?;
            }
        }
        self.complete();
        Ok(())
    }
}

/// Every layer is there, no other, and every sector has the expected tag or one that `or` allows.
fn compare(
    expected: &Layers,
    found: &Found,
    sector_size: usize,
    or: &dyn Fn(u32, usize, &[u8]) -> bool,
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
            if tag_of(part) != Some(tag) && !or(*id, sector, part) {
                return Err(format!("layer {id} sector {sector} is {:x?} instead of {tag:x}", tag_of(part)));
            }
        }
    }
    Ok(())
}
