//! What is in a range of an export: the metadata contexts.
//!
//! Nothing is kept for them. Every answer is read off the maps when it is asked for, and so is exact whatever happened in between.

use cowl::{Extent, ExtentKind, LayerId, LayerInfo, LayerKind};

use super::{codec::Errno, export::Export};
use crate::serve::shared::{Outcome, OwnPool, Shared};

/// The context of allocated and unallocated ranges.
const ALLOCATION: &str = "base:allocation";
/// The context that tells how deep in the chain of layers a range was written.
const DEPTH: &str = "qemu:allocation-depth";
/// Before the name of a snapshot: what has changed since.
const CHANGED: &str = "qemu:dirty-bitmap:";

/// Extents in one answer, at most. A client asks again for what follows.
pub const EXTENTS: usize = 1024;
/// Looks at the map for one answer, at most.
const LOOKS: usize = 8192;
/// Layers below an export that are told apart; what lies deeper has the depth of the last.
const DEEPEST: usize = 64;

/// Flags of `base:allocation`.
const HOLE_AND_ZERO: u32 = 3;

/// What a metadata context tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// Which ranges are holes that read as zeros.
    Allocation,
    /// How many layers down a range was written: 0 nowhere, 1 in the export itself.
    Depth,
    /// Which ranges may differ from a snapshot.
    ChangedSince(LayerId),
}

/// A range of the export, in bytes, and what the context says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Its length.
    pub length: u32,
    /// The flags.
    pub flags: u32,
}

/// The contexts of a layer that a query of a client stands for: all of them if it is empty, all of a namespace if it ends with a
/// colon, else the one that has this name. `found` gets each.
///
/// # Errors
/// The pool's.
pub fn find(shared: &Shared, layer: LayerId, query: &str, found: &mut dyn FnMut(&str, Context)) -> Outcome<()> {
    for (name, context) in [(ALLOCATION, Context::Allocation), (DEPTH, Context::Depth)] {
        if stands_for(query, name) {
            found(name, context);
        }
    }
    if let Some(name) = query.strip_prefix(CHANGED).filter(|name| !name.is_empty()) {
        let (this, named) = shared.look(|pool| Ok((pool.layer(layer)?, pool.find(name)?)))?;
        if let Some(snapshot) = named.filter(|other| is_comparable(&this, other)) {
            found(query, Context::ChangedSince(snapshot.id));
        }
        return Ok(());
    }
    if !stands_for(query, CHANGED) {
        return Ok(());
    }
    let this = shared.look(|pool| pool.layer(layer))?;
    let mut after = None;
    loop {
        // The pool is held for one layer at a time.
        let Some(other) = shared.look(|pool| pool.next_layer(after))? else { return Ok(()) };
        if is_comparable(&this, &other) {
            found(&format!("{CHANGED}{}", other.name), Context::ChangedSince(other.id));
        }
        after = Some(other.id);
    }
}

fn stands_for(query: &str, name: &str) -> bool {
    query.is_empty() || query == name || query.ends_with(':') && name.starts_with(query)
}

/// A snapshot of the same tree.
fn is_comparable(this: &LayerInfo, other: &LayerInfo) -> bool {
    other.kind == LayerKind::Snapshot && other.family == this.family && other.id != this.id
}

/// What the context says of a range: one extent or several, from the first byte on, not necessarily up to the last.
///
/// # Errors
/// The pool's.
pub fn of_range(
    export: &Export,
    context: Context,
    offset: u64,
    length: u32,
    most: usize,
    found: &mut Vec<Status>,
) -> Result<(), Errno> {
    found.clear();
    let end = offset + u64::from(length);
    let ancestors = if context == Context::Depth { ancestors(export)? } else { Vec::new() };
    let mut at = offset;
    for _ in 0..LOOKS {
        if at >= end {
            break;
        }
        let (flags, until) = match context {
            Context::Allocation => allocation(export, at)?,
            Context::Depth => depth(export, &ancestors, at)?,
            Context::ChangedSince(snapshot) => {
                let (differs, until) = differs(export, snapshot, at)?;
                (u32::from(differs), until)
            }
        };
        // A map always has something to say of the byte that was asked for.
        let until = until.clamp(at + 1, end);
        let part = u32::try_from(until - at).unwrap_or(u32::MAX);
        let full = found.len() >= most;
        match found.last_mut() {
            Some(last) if last.flags == flags => last.length += part,
            _ if full => break,
            _ => found.push(Status { length: part, flags }),
        }
        at = until;
    }
    Ok(())
}

fn allocation(export: &Export, at: u64) -> Result<(u32, u64), Errno> {
    let (kind, until) = extent(export, at)?;
    Ok((if matches!(kind, Kind::Nothing | Kind::Zeros) { HOLE_AND_ZERO } else { 0 }, until))
}

fn depth(export: &Export, ancestors: &[LayerId], at: u64) -> Result<(u32, u64), Errno> {
    let (kind, mut until) = extent(export, at)?;
    let number = |depth: usize| u32::try_from(depth).unwrap_or(u32::MAX);
    match kind {
        Kind::Nothing => return Ok((0, until)),
        Kind::Base => return Ok((number(ancestors.len() + 2), until)),
        Kind::Data | Kind::Zeros => {}
    }
    for (above, ancestor) in ancestors.iter().enumerate() {
        let (differs, here) = differs(export, *ancestor, at)?;
        until = until.min(here);
        if differs {
            return Ok((number(above + 1), until));
        }
    }
    Ok((number(ancestors.len() + 1), until))
}

/// The layers below an export that are still there, from the nearest on.
fn ancestors(export: &Export) -> Result<Vec<LayerId>, Errno> {
    let shared = &export.backend.shared;
    export.told("look at the layers", shared.look(|pool| chain(pool, export.layer)))
}

fn chain(pool: &mut OwnPool, layer: LayerId) -> Outcome<Vec<LayerId>> {
    let mut chain = Vec::new();
    let mut next = pool.layer(layer)?.parent;
    while let Some(id) = next
        && chain.len() < DEEPEST
    {
        // Merge may be about to take a deleted layer out of the chain; what it owns counts as the next one's.
        let Some(found) = record(pool, id)? else { break };
        if !found.flags.contains(cowl::LayerFlags::DELETED) {
            chain.push(id);
        }
        next = found.parent;
    }
    Ok(chain)
}

fn record(pool: &mut OwnPool, id: LayerId) -> Outcome<Option<LayerInfo>> {
    let before = id.0.checked_sub(1).filter(|number| *number > 0).map(LayerId);
    Ok(pool.next_record(before)?.filter(|found| found.id == id))
}

/// What a client can see of an extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Zeros,
    /// Shows the base device.
    Base,
    /// Was never written.
    Nothing,
}

/// The extent around a byte: what it is, and the byte behind it.
fn extent(export: &Export, at: u64) -> Result<(Kind, u64), Errno> {
    let found = export.told("look at the map", export.backend.shared.extent(export.layer, at / export.sector))?;
    let until = end_of(&found, export);
    Ok(match found.kind {
        ExtentKind::Data { .. } => (Kind::Data, until),
        ExtentKind::Zero => (Kind::Zeros, until),
        ExtentKind::Empty if at < export.base_end => (Kind::Base, until.min(export.base_end)),
        ExtentKind::Empty => (Kind::Nothing, until),
    })
}

/// Whether the export differs from another layer at a byte, and the byte up to which the answer holds.
fn differs(export: &Export, other: LayerId, at: u64) -> Result<(bool, u64), Errno> {
    let next = export.backend.shared.look(|pool| pool.diff(other, export.layer, at / export.sector));
    Ok(match export.told("compare", next)? {
        None => (false, u64::MAX),
        Some(found) if found.sector * export.sector > at => (false, found.sector * export.sector),
        Some(found) => (true, end_of(&found, export)),
    })
}

fn end_of(extent: &Extent, export: &Export) -> u64 {
    (extent.sector + extent.count) * export.sector
}

#[cfg(test)]
mod tests {
    use super::{ALLOCATION, CHANGED, DEPTH, stands_for};

    #[test]
    fn a_query_stands_for_a_name_or_a_namespace() {
        assert!(stands_for("", ALLOCATION) && stands_for("base:", ALLOCATION) && stands_for(ALLOCATION, ALLOCATION));
        assert!(stands_for("qemu:", DEPTH) && stands_for("qemu:", CHANGED) && stands_for(CHANGED, CHANGED));
        assert!(
            !stands_for("base", ALLOCATION) && !stands_for("base:all", ALLOCATION) && !stands_for("qemu:", ALLOCATION)
        );
        assert!(!stands_for("base:allocation:", ALLOCATION) && !stands_for(CHANGED, DEPTH));
    }
}
