//! What deleting layers would free, without deleting them.
//!
//! A block is freed if no layer that stays reads it. Who may still read a block of a layer that goes is answered by its *heirs*:
//! the nearest layers above that stay. What is shared with any of them stays; all else that the layer owns goes. A layer
//! with heirs on several branches stays as a hidden branching point and keeps the nodes on the way to what is shared.

use crate::{
    device::BlockDevice,
    error::{Error, Object},
    format::{Layer, LayerView, MAX_HEIGHT},
    pool::{Pool, Result},
    store::{Outcome, Store},
    tree::Map,
    types::{Delta, LayerFlags, LayerId, LayerKind},
    walk::{Owned, Walk},
};

#[cfg(feature = "async")]
#[path = "asynch/what_if.rs"]
pub(crate) mod asynch;

/// The answer to [`Pool::what_if`], being worked out in steps.
#[derive(Debug, Clone)]
pub struct WhatIf<'s> {
    set: &'s [LayerId],
    /// The generation whose trees are being walked; none after a step that came to no end.
    generation: Option<u64>,
    /// The layer being walked, and the next to look at.
    walking: Option<Going>,
    next: u32,
    freed: Delta,
}

/// A layer that goes, and those that stay above it.
#[derive(Debug, Clone)]
struct Going {
    id: u32,
    family: u32,
    walk: Walk,
    heirs: heapless::Vec<Map, 8>,
    /// Where in the catalog to look for more heirs; 0 if all are known.
    more: u32,
    /// It stays as a hidden branching point.
    stays: bool,
    /// Nodes on the path that were counted as freed: their levels, and whether something below stays.
    open_nodes: heapless::Vec<(u8, u64, bool), { MAX_HEIGHT + 1 }>,
}

/// A layer that stays, above one that goes.
struct Heir {
    id: u32,
    map: Map,
    /// The child of the one that goes through which it descends.
    through: u32,
}

impl<'s> WhatIf<'s> {
    fn new(set: &'s [LayerId], generation: u64) -> Self {
        Self { set, generation: Some(generation), walking: None, next: 1, freed: Delta::default() }
    }

    /// Works on the answer for about `budget` device reads: `None` if there is more to do, the answer at the end. It is the answer for
    /// the pool as it is then: after a checkpoint in between, or an error, the work begins anew.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`]; the device's.
    pub fn step<D, B>(&mut self, pool: &mut Pool<'_, D, B>, budget: u32) -> Result<Option<Delta>, D>
    where
        D: BlockDevice,
        B: BlockDevice<Error = D::Error>,
    {
        let found = self.go_on(&mut pool.store, budget);
        pool.store.answer(found)
    }

    fn go_on<D: BlockDevice>(&mut self, store: &mut Store<'_, D>, budget: u32) -> Outcome<Option<Delta>> {
        let generation = store.durable().generation();
        if self.generation.take() != Some(generation) {
            // The trees that were being walked may be gone, and their blocks something else.
            *self = Self { generation: None, ..Self::new(self.set, generation) };
        }
        let found = self.work(store, budget)?;
        self.generation = Some(generation);
        Ok(found)
    }

    fn work<D: BlockDevice>(&mut self, store: &mut Store<'_, D>, budget: u32) -> Outcome<Option<Delta>> {
        let end = store.stats.reads + u64::from(budget.max(1));
        let mut looked = 0;
        while store.stats.reads < end && looked < budget.max(1) {
            looked += 1;
            if self.walking.is_none() && !self.start_next(store)? {
                return Ok(Some(self.freed));
            }
            self.visit(store)?;
        }
        Ok(None)
    }

    /// Finds the next layer that goes; false at the end.
    fn start_next<D: BlockDevice>(&mut self, store: &mut Store<'_, D>) -> Outcome<bool> {
        while let Some(place) = store.place_from(self.next)? {
            let layer = store.view(place);
            self.next = layer.id() + 1;
            if goes(self.set, layer) || store.is_forgotten(layer) {
                let layer = layer.decode();
                self.start(store, &layer)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn start<D: BlockDevice>(&mut self, store: &mut Store<'_, D>, layer: &Layer) -> Outcome<()> {
        let going = self.walking.insert(Going {
            id: layer.id,
            family: layer.family,
            walk: Walk::new(layer),
            heirs: heapless::Vec::new(),
            more: 0,
            stays: false,
            open_nodes: heapless::Vec::new(),
        });
        let mut branch = 0;
        let mut next = 1;
        while let Some(heir) = Going::next_heir(going, self.set, store, next)? {
            going.stays |= branch != 0 && branch != heir.through;
            branch = heir.through;
            if going.more == 0 && going.heirs.push(heir.map).is_err() {
                going.more = heir.id;
            }
            next = heir.id + 1;
        }
        Ok(())
    }

    /// Looks at one thing that the layer owns.
    #[inline(never)]
    fn visit<D: BlockDevice>(&mut self, store: &mut Store<'_, D>) -> Outcome<()> {
        let Some(going) = &mut self.walking else { return Ok(()) };
        let Some(owned) = going.walk.next(store)? else {
            self.freed.nodes += going.close_nodes(store, u64::MAX);
            self.walking = None;
            return Ok(());
        };
        self.freed.nodes += going.close_nodes(store, owned.address);
        if Going::is_shared(going, self.set, store, &owned)? {
            going.walk.skip(store, &owned);
            going.keep_open_nodes();
        } else if owned.level == 0 {
            self.freed.data += 1;
        } else {
            let _ = going.open_nodes.push((owned.level, owned.address, false));
            if going.stays && Going::holds_ancestors(going, store, &owned)? {
                going.keep_open_nodes();
            }
        }
        Ok(())
    }
}

/// The layer is deleted, or would be.
fn goes(set: &[LayerId], layer: LayerView<'_>) -> bool {
    layer.is_deleted()
        || set.contains(&LayerId(layer.id()))
        || layer.owner() != 0 && set.contains(&LayerId(layer.owner()))
}

impl Going {
    /// The next heir from this number on.
    fn next_heir<D: BlockDevice>(&self, set: &[LayerId], store: &mut Store<'_, D>, from: u32) -> Outcome<Option<Heir>> {
        let mut next = from;
        while let Some(layer) = store.record_from(next)? {
            next = layer.id() + 1;
            if goes(set, layer)
                || layer.kind() == LayerKind::Attachment
                || layer.family() != self.family
                || layer.parent() == 0
            {
                continue;
            }
            let map = Map::of(layer);
            let mut heir = Heir { id: layer.id(), map, through: layer.id() };
            let mut parent = layer.parent();
            for _ in 0..store.sb.layers {
                if parent == self.id {
                    return Ok(Some(heir));
                }
                if parent == 0 {
                    break;
                }
                let below = store.layer(parent)?;
                if !goes(set, below) {
                    break;
                }
                (heir.through, parent) = (below.id(), below.parent());
            }
        }
        Ok(None)
    }

    fn is_shared<D: BlockDevice>(&self, set: &[LayerId], store: &mut Store<'_, D>, owned: &Owned) -> Outcome<bool> {
        for map in &self.heirs {
            if store.map_has(map, owned.level, owned.address, &owned.entry)? {
                return Ok(true);
            }
        }
        let mut next = self.more;
        while next != 0 {
            let Some(heir) = self.next_heir(set, store, next)? else { break };
            if store.map_has(&heir.map, owned.level, owned.address, &owned.entry)? {
                return Ok(true);
            }
            next = heir.id + 1;
        }
        Ok(false)
    }

    /// The node has entries that belong to an ancestor: a branching point keeps those.
    fn holds_ancestors<D: BlockDevice>(&self, store: &mut Store<'_, D>, owned: &Owned) -> Outcome<bool> {
        let limit = self.walk.limit(store, owned.address);
        let slot = store.load(&owned.entry, Object::MapNode)?;
        Ok((0..store.span(1)).any(|i| {
            let entry = store.entry_in(slot, store.child_offset(i, 1));
            entry.is_block() && entry.birth <= limit
        }))
    }

    /// Settles the nodes that the walk has left: how many are freed. They are unless a branching point keeps them for what is below.
    fn close_nodes<D: BlockDevice>(&mut self, store: &Store<'_, D>, address: u64) -> u64 {
        let mut freed = 0;
        while let Some((level, start, kept)) = self.open_nodes.last().copied() {
            if address < start.saturating_add(store.span(level)) {
                break;
            }
            self.open_nodes.pop();
            freed += u64::from(!(kept && self.stays));
        }
        freed
    }

    /// Something below the nodes on the path stays.
    fn keep_open_nodes(&mut self) {
        for node in &mut self.open_nodes {
            node.2 = true;
        }
    }
}

impl<D: BlockDevice> Store<'_, D> {
    /// The layers are there, and all that they own is in the trees.
    fn prepare_what_if(&mut self, set: &[LayerId]) -> Outcome<()> {
        for id in set {
            let layer = self.live_layer(id.0)?;
            if layer.flags().contains(LayerFlags::STAGED) {
                return Err(self.stop(Error::WrongKind(*id)));
            }
        }
        if self.pending.len() > 0 && !self.read_only {
            self.checkpoint()?;
        }
        Ok(())
    }
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Pool<'_, D, B> {
    /// What deleting all layers of a set (and merging) would free, in blocks of data and nodes of maps; layers that wait for
    /// merge already are counted in. The pages of the catalog that hold the records come on top. Worked out in steps, at a cost in
    /// proportion to the deltas concerned; what is pending is brought into the trees first.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`]; the device's.
    ///
    /// # Power loss
    /// As [`flush`](Self::flush).
    pub fn what_if<'s>(&mut self, set: &'s [LayerId]) -> Result<WhatIf<'s>, D> {
        let prepared = self.store.prepare_what_if(set);
        self.store.answer(prepared)?;
        Ok(WhatIf::new(set, self.store.durable().generation()))
    }

    /// [`what_if`](Self::what_if), to the end.
    ///
    /// # Errors
    /// As [`what_if`](Self::what_if).
    ///
    /// # Power loss
    /// As [`flush`](Self::flush).
    pub fn what_if_freed(&mut self, set: &[LayerId]) -> Result<Delta, D> {
        let mut question = self.what_if(set)?;
        loop {
            if let Some(freed) = question.step(self, 1 << 20)? {
                return Ok(freed);
            }
        }
    }
}
