//! `cowl info`: the pool and its space, or one layer with everything that is known of it.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use cowl::LayerFlags;
use serde::Serialize;
use uuid::Uuid;

use super::super::{
    failure::Failure,
    pool::AnyPool,
    select,
    session::{Access, with_pool},
    size::Bytes,
    time,
    ui::{Report, Style, Ui},
    view::LayerView,
};
use super::merge::MergeView;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl info p.cowl
  cowl info p.cowl before-upgrade")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// Tell about this layer
    layer: Option<String>,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    match &args.layer {
        None => ui.show(&with_pool(ui, &args.pool, Access::Read, |pool| pool_view(pool, args))?),
        Some(layer) => ui.show(&with_pool(ui, &args.pool, Access::Read, |pool| layer_view(pool, layer))?),
    }
}

#[derive(Debug, Serialize)]
struct PoolView {
    pool: PathBuf,
    uuid: Uuid,
    version: (u16, u16),
    block_size: u32,
    sector_size: u32,
    generation: u64,
    epoch: u32,
    journal_units: u32,
    pending: u32,
    base_size: u64,
    volumes: u64,
    snapshots: u64,
    deleted: u64,
    attachments: u64,
    total: u64,
    free: u64,
    available: u64,
    guaranteed: u64,
    reserve: u64,
    reclaimable: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    merge: Option<MergeView>,
}

fn pool_view(pool: &mut dyn AnyPool, args: &Args) -> Result<PoolView, Failure> {
    let (info, space, units) = (pool.info()?, pool.space()?, pool.units());
    let mut counts = [0_u64; 4];
    for layer in select::records(pool)? {
        let index = if layer.flags.contains(LayerFlags::DELETED) { 3 } else { layer.kind as usize };
        counts[index.min(3)] += 1;
    }
    let [volumes, snapshots, attachments, deleted] = counts;
    Ok(PoolView {
        pool: args.pool.clone(),
        uuid: Uuid::from_bytes(info.uuid),
        version: info.version,
        block_size: info.block_size,
        sector_size: info.sector_size,
        generation: info.generation,
        epoch: info.epoch,
        journal_units: info.journal_units,
        pending: info.pending,
        base_size: units.sectors(info.base_sectors),
        volumes,
        snapshots,
        deleted,
        attachments,
        total: units.blocks(space.total),
        free: units.blocks(space.free),
        available: units.blocks(space.available()),
        guaranteed: units.blocks(space.guaranteed),
        reserve: units.blocks(space.reserve),
        reclaimable: units.blocks(space.reclaimable),
        merge: MergeView::of(pool)?.filter(|merge| !merge.rests()),
    })
}

impl Report for PoolView {
    fn text(&self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        let bytes = |size| Bytes(size).to_string();
        writeln!(out, "{}", style.bold(self.pool.display()))?;
        let mut row = |name: &str, value: String| writeln!(out, "  {name:<14}{value}");
        row("uuid", self.uuid.to_string())?;
        row(
            "format",
            format!("{}.{}, generation {}, epoch {}", self.version.0, self.version.1, self.generation, self.epoch),
        )?;
        row(
            "blocks",
            format!(
                "{} of {}, sectors of {}",
                self.total / u64::from(self.block_size),
                bytes(self.block_size.into()),
                bytes(self.sector_size.into())
            ),
        )?;
        row("journal", format!("{} units, {} pending changes", self.journal_units, self.pending))?;
        if self.base_size > 0 {
            row("base", bytes(self.base_size))?;
        }
        row(
            "layers",
            format!(
                "{} volumes, {} snapshots, {} attachments, {} deleted",
                self.volumes, self.snapshots, self.attachments, self.deleted
            ),
        )?;
        row("size", bytes(self.total))?;
        row("free", format!("{}, of which {} can be used by thin volumes", bytes(self.free), bytes(self.available)))?;
        row(
            "promised",
            format!("{} to guaranteed volumes, {} to checkpoints", bytes(self.guaranteed), bytes(self.reserve)),
        )?;
        if self.reclaimable > 0 {
            row("reclaimable", format!("{} by `cowl merge`", bytes(self.reclaimable)))?;
        }
        if let Some(merge) = &self.merge {
            row("merge", merge.to_string())?;
        }
        Ok(())
    }
}

#[derive(Debug, Serialize)]
struct LayerDetails {
    #[serde(flatten)]
    layer: LayerView,
    description: String,
    attachments: Vec<LayerView>,
    frees: u64,
}

fn layer_view(pool: &mut dyn AnyPool, text: &str) -> Result<LayerDetails, Failure> {
    let (layer, units) = (select::layer(pool, text)?, pool.units());
    let attachments = select::attachments(pool, layer.id)?;
    let freed = pool.what_if_freed(&[layer.id])?;
    Ok(LayerDetails {
        description: super::describe::read(pool, &layer)?,
        attachments: attachments.iter().map(|layer| LayerView::new(layer, units)).collect(),
        frees: units.blocks(freed.data + freed.nodes),
        layer: LayerView::new(&layer, units),
    })
}

impl Report for LayerDetails {
    fn text(&self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        let layer = &self.layer;
        writeln!(out, "{}  #{}  {}", style.bold(layer.title()), layer.id, layer.marks())?;
        let mut row = |name: &str, value: String| writeln!(out, "  {name:<14}{value}");
        row("uuid", layer.uuid.to_string())?;
        row("parent", layer.parent.map_or("none".to_owned(), |id| format!("#{id}")))?;
        row("children", layer.children.to_string())?;
        row("size", format!("{} ({} bytes)", Bytes(layer.size), layer.size))?;
        row(
            "owns",
            format!(
                "{}: {} data and {} map blocks",
                Bytes(layer.owned),
                layer.owned_data_blocks,
                layer.owned_map_blocks
            ),
        )?;
        row("delete frees", Bytes(self.frees).to_string())?;
        row("created", time::local(layer.created))?;
        if let Some(at) = layer.reverted_at {
            row("rolled back", format!("{} to #{}", time::local(at), layer.reverted_from.unwrap_or_default()))?;
        }
        for attachment in &self.attachments {
            row("attachment", format!("{} ({})", attachment.name, Bytes(attachment.size)))?;
        }
        for (index, line) in self.description.lines().enumerate() {
            row(if index == 0 { "description" } else { "" }, line.to_owned())?;
        }
        Ok(())
    }
}
