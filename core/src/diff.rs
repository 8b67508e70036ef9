//! What changed between two layers: both maps side by side, equal pointers skipped whole.

use crate::{
    device::BlockDevice,
    error::Object,
    locate::Head,
    pool::{Pool, Result},
    store::{Outcome, Store},
    types::{Extent, LayerId},
};

#[cfg(feature = "async")]
#[path = "asynch/diff.rs"]
pub(crate) mod asynch;

impl<D: BlockDevice> Store<'_, D> {
    /// From an address on: do the layers differ there, and for how many blocks does the answer hold?
    fn compare(&mut self, a: &Head, b: &Head, address: u64) -> Outcome<(bool, u64)> {
        let pending = |store: &Self, head: &Head| store.pending.next_address(head.id, address);
        let next = match (pending(self, a), pending(self, b)) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b).unwrap_or(u64::MAX),
        };
        if next == address {
            let (of_a, of_b) = (self.effective(a, address)?.0, self.effective(b, address)?.0);
            return Ok((!of_a.same(&of_b), 1));
        }
        let low = a.height.min(b.height);
        let mut level = if address < self.span(low) { low } else { a.height.max(b.height) };
        loop {
            let of_a = self.entry_at(a.root, a.height, level.min(a.height), address, Object::MapNode)?;
            let of_b = self.entry_at(b.root, b.height, level.min(b.height), address, Object::MapNode)?;
            if of_a.same(&of_b) {
                return Ok((false, self.behind(level, address).min(next) - address));
            }
            if level == 0 {
                return Ok((true, 1));
            }
            level -= 1;
        }
    }
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Pool<'_, D, B> {
    /// The first range at or behind `from` in which layer `b` may differ from layer `a`, as it is in `b`; `None` if there is none.
    /// Ranges are whole blocks; neighbouring ranges are possible. Costs reads in proportion to what differs. Always exact, also
    /// after a crash: it is read off the maps.
    ///
    /// # Errors
    /// [`NoSuchLayer`](crate::Error::NoSuchLayer), the device's.
    ///
    /// # Power loss
    /// Changes nothing.
    pub fn diff(&mut self, a: LayerId, b: LayerId, from: u64) -> Result<Option<Extent>, D> {
        let found = self.store.diff(a, b, from);
        self.store.answer(found)
    }
}

impl<D: BlockDevice> Store<'_, D> {
    fn diff(&mut self, a: LayerId, b: LayerId, from: u64) -> Outcome<Option<Extent>> {
        let (of_a, of_b) = (self.head(a)?, self.head(b)?);
        let spb = self.spb;
        let end = spb.ceil(of_b.sectors);
        let mut address = from / spb;
        // As many entries as both maps can have on this device: more, and a node leads back to itself.
        let mut left = self.layout.total << (self.fan_shift() + 1);
        while address < end {
            let (differs, count) = self.compare(&of_a, &of_b, address)?;
            if !differs {
                left = left.checked_sub(1).ok_or_else(|| self.damaged(Object::MapNode, of_b.root.block))?;
                address = address.saturating_add(count);
                continue;
            }
            let sector = from.max(address * spb);
            let extent = self.extent(b, sector)?;
            let most = spb.ceil(sector + extent.count) - address;
            let mut blocks = 1;
            while blocks < most && self.compare(&of_a, &of_b, address + blocks)? == (true, 1) {
                blocks += 1;
            }
            let count = extent.count.min((address + blocks) * spb - sector);
            return Ok(Some(Extent { count, ..extent }));
        }
        Ok(None)
    }
}
