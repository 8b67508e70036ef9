//! The check: walks everything, counts afresh, and says what is wrong and where.
//!
//! - here: the superblock, its slots and its sums;
//! - `maps.rs`: the walk over the catalog's nodes and every layer's map;
//! - `records.rs`: what records say of themselves and of each other (parents, children, attachments, sizes);
//! - `space.rs`: the bitmaps, and the count of free blocks in every entry of the space map.
//!
//! Which blocks are in use is collected in a bitmap in memory that the caller hands in. If it has fewer bits than the pool has
//! blocks, the walk is repeated for each part; the same memory serves to count children. Reads only; damage found on the way is
//! reported, not returned.

mod maps;
mod records;
mod space;

use crate::{
    bytes::{index, put_u8, u8_at, wide},
    device::BlockDevice,
    error::{Error, Object},
    format::{LayerView, Superblock},
    pool::{Pool, Result},
    store::{Outcome, Stop, Store},
    types::LayerId,
};

#[cfg(feature = "async")]
#[path = "asynch/check.rs"]
pub(crate) mod asynch;

/// Something that is not as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Finding {
    /// An object does not match its checksum, its parent or its bounds.
    Damaged {
        /// What it is.
        what: Object,
        /// Its block.
        block: u64,
        /// The layer that leads to it.
        layer: Option<LayerId>,
    },
    /// A block is used, but the space map calls it free.
    NotMarked {
        /// The block.
        block: u64,
    },
    /// The space map calls a block used that nothing uses.
    Leaked {
        /// The block.
        block: u64,
    },
    /// Two things use one block.
    UsedTwice {
        /// The block.
        block: u64,
    },
    /// A count in a record or in the superblock is wrong.
    Count {
        /// What is counted.
        what: &'static str,
        /// The layer, if it is about one.
        layer: Option<LayerId>,
        /// The count on the device.
        stored: u64,
        /// The count as it is.
        counted: u64,
    },
    /// A field of a layer's record does not agree with the other records, or with what the layer is.
    Field {
        /// The layer.
        layer: LayerId,
        /// The field, as `FORMAT.md` calls it.
        field: &'static str,
        /// What the record says.
        stored: u64,
        /// What the rest of the pool says, or the nearest value that is possible; 0 for a reference to nothing.
        expected: u64,
    },
    /// An entry of the space map counts the free blocks below it wrongly.
    FreeCount {
        /// The level of the node that the entry leads to; 0 for a bitmap.
        level: u8,
        /// The first block that the node covers.
        first: u64,
        /// The count on the device.
        stored: u64,
        /// The count as it is.
        counted: u64,
    },
    /// A slot of the superblock cannot be read; the pool lives on the others. A power cut during a checkpoint leaves that, and one of the
    /// next two checkpoints writes the slot anew.
    SuperblockCopy {
        /// The slot, 0 to 3.
        slot: u8,
    },
}

/// The sum of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Checked {
    /// Findings reported.
    pub findings: u64,
    /// Blocks in use, the fixed ones not counted.
    pub blocks: u64,
    /// Layer records.
    pub layers: u64,
    /// Data blocks whose checksums were verified.
    pub scrubbed: u64,
    /// Walks that were needed.
    pub passes: u64,
}

/// The parts of a check that are the same all the time.
struct Checking<'r> {
    bitmap: &'r mut [u8],
    report: &'r mut dyn FnMut(&Finding),
    progress: &'r mut dyn FnMut(u64, u64),
    scrub: bool,
    /// Every record of the catalog could be read: what is missing is missing.
    complete: bool,
    /// Blocks that the walks have visited, and how many there will be.
    visited: u64,
    visits: u64,
    /// The blocks that the bitmap stands for.
    from: u64,
    to: u64,
    sum: Checked,
}

/// Sums over all layers.
#[derive(Default)]
struct Totals {
    layers: u32,
    deleted: u32,
    staged: u32,
    used: u64,
    guaranteed: u64,
    reclaimable: u64,
    height: u8,
}

impl Checking<'_> {
    fn find(&mut self, finding: &Finding) {
        self.sum.findings += 1;
        crate::logging::event!(warn, "check: {:?}", finding);
        (self.report)(finding);
    }

    fn first_pass(&self) -> bool {
        self.from == 0
    }

    fn count(&mut self, what: &'static str, layer: Option<LayerId>, stored: u64, counted: u64) {
        if stored != counted && self.first_pass() {
            self.find(&Finding::Count { what, layer, stored, counted });
        }
    }

    fn field(&mut self, layer: u32, field: &'static str, stored: impl Into<u64>, expected: impl Into<u64>) {
        let (stored, expected) = (stored.into(), expected.into());
        if stored != expected && self.first_pass() {
            self.find(&Finding::Field { layer: LayerId(layer), field, stored, expected });
        }
    }

    /// Damage becomes a finding; any other reason to stop ends the check.
    fn damage<T, E>(&mut self, result: Outcome<T>, why: &Error<E>, layer: Option<LayerId>) -> Outcome<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Stop) => self.damage_found(why, layer).map(|()| None),
        }
    }

    fn damage_found<E>(&mut self, why: &Error<E>, layer: Option<LayerId>) -> Outcome<()> {
        let &Error::Corrupt { what, block } = why else { return Err(Stop) };
        if self.first_pass() {
            self.find(&Finding::Damaged { what, block, layer });
        }
        Ok(())
    }

    fn mark(&mut self, block: u64) {
        self.visited += 1;
        if self.visited.is_multiple_of(256) {
            (self.progress)(self.visited.min(self.visits), self.visits);
        }
        if block < self.from || block >= self.to {
            return;
        }
        let bit = block - self.from;
        let (at, mask) = (index(bit / 8), 1 << (bit % 8));
        let byte = u8_at(self.bitmap, at);
        if byte & mask != 0 {
            self.find(&Finding::UsedTwice { block });
        }
        put_u8(self.bitmap, at, byte | mask);
    }
}

impl<D: BlockDevice> Store<'_, D> {
    #[inline(never)]
    fn check_pass(&mut self, run: &mut Checking<'_>) -> Outcome<()> {
        let mut totals = Totals::default();
        for at in 0..self.spares.len() {
            let Some(block) = self.spares.get(at) else { continue };
            let pointer = self.check_pointer(Object::Superblock, block);
            if run.damage(pointer, &self.failure, None)?.is_some() {
                run.mark(block);
                totals.used += 1;
            }
        }
        self.check_catalog_nodes(run, &mut totals)?;
        let mut next = 1;
        loop {
            let found = self.record_from(next).map(|found| found.map(LayerView::decode));
            let Some(found) = run.damage(found, &self.failure, None)? else {
                run.complete = false;
                break;
            };
            let Some(layer) = found else { break };
            next = layer.id + 1;
            self.check_layer(run, &layer, &mut totals)?;
        }
        if run.first_pass() && run.complete {
            self.check_sums(run, &totals);
        }
        self.check_space(run)
    }

    /// What the superblock says of all layers together.
    #[inline(never)]
    fn check_sums(&mut self, run: &mut Checking<'_>, totals: &Totals) {
        let sb = &self.sb;
        run.sum.layers = u64::from(totals.layers);
        run.count("layer records", None, u64::from(sb.layers), u64::from(totals.layers));
        run.count("deleted layers", None, u64::from(sb.deleted), u64::from(totals.deleted));
        run.count("staged attachments", None, u64::from(sb.staged), u64::from(totals.staged));
        run.count("guaranteed blocks", None, sb.guaranteed, totals.guaranteed);
        run.count("reclaimable blocks", None, sb.reclaimable, totals.reclaimable);
        run.count("highest map", None, u64::from(sb.max_height), u64::from(sb.max_height.max(totals.height)));
        let fixed = self.layout.total - self.layout.free_when_unwritten(self.layout.levels(), 0);
        let spares = wide(self.spares.len());
        run.count("free blocks", None, sb.free, (self.layout.total - fixed).saturating_sub(totals.used) + spares);
        run.sum.blocks = totals.used.saturating_sub(spares);
    }

    fn check_superblocks(&mut self, run: &mut Checking<'_>) {
        for slot in 0..4u8 {
            let result = self.read_scratch(u64::from(slot));
            let valid = result.is_ok() && Superblock::look(self.scratch, self.checksum).is_some();
            let newest = u8::from(self.durable().generation() % 2 == 1);
            // The other pair may never have been written.
            if !valid && (slot / 2 == newest || self.durable().generation() > 2) {
                run.find(&Finding::SuperblockCopy { slot });
            }
        }
    }
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Pool<'_, D, B> {
    /// Walks everything and reports what is wrong. `scratch` holds a bit for each block: the more of them fit, the fewer
    /// walks. With `scrub` every data block is read too, and verified on volumes with integrity. What is pending is brought into
    /// the trees first, unless the mount is read-only.
    ///
    /// # Errors
    /// The device's; [`Error::WorkspaceTooSmall`] for a scratch of less than 64 bytes.
    ///
    /// # Power loss
    /// As [`flush`](Self::flush).
    #[inline(never)]
    pub fn check(&mut self, scratch: &mut [u8], scrub: bool, report: &mut dyn FnMut(&Finding)) -> Result<Checked, D> {
        self.check_watched(scratch, scrub, report, &mut |_, _| {})
    }

    /// As [`check`](Self::check), and tells now and then how many blocks it has visited, of how many.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    ///
    /// # Power loss
    /// As [`flush`](Self::flush).
    pub fn check_watched(
        &mut self,
        scratch: &mut [u8],
        scrub: bool,
        report: &mut dyn FnMut(&Finding),
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Checked, D> {
        let checked = self.store.check(scratch, scrub, report, progress);
        self.store.answer(checked)
    }
}

impl<D: BlockDevice> Store<'_, D> {
    fn check(
        &mut self,
        scratch: &mut [u8],
        scrub: bool,
        report: &mut dyn FnMut(&Finding),
        progress: &mut dyn FnMut(u64, u64),
    ) -> Outcome<Checked> {
        if scratch.len() < 64 {
            return Err(self.stop(Error::WorkspaceTooSmall { needed: 64 }));
        }
        if self.pending.len() > 0 && !self.read_only && !self.poisoned {
            self.checkpoint()?;
        }
        let (total, part) = (self.layout.total, wide(scratch.len()) * 8);
        let (mut visits, mut walked) = (0u64, 0u64);
        while walked < total {
            visits = visits.saturating_add(total.saturating_sub(self.sb.free));
            walked = walked.saturating_add(part);
        }
        let mut run = Checking {
            bitmap: scratch,
            report,
            progress,
            scrub,
            complete: true,
            visited: 0,
            visits,
            from: 0,
            to: 0,
            sum: Checked::default(),
        };
        self.check_superblocks(&mut run);
        self.check_relations(&mut run)?;
        while run.from < total {
            run.to = (run.from + part).min(total);
            run.bitmap.fill(0);
            run.sum.passes += 1;
            self.check_pass(&mut run)?;
            run.from = run.to;
        }
        Ok(run.sum)
    }
}
