//! `cowl list`: the layers as a table or a tree.

use std::{
    collections::HashMap,
    io::{self, Write},
    path::PathBuf,
};

use cowl::{LayerFlags, LayerKind};
use serde::Serialize;

use super::super::{
    failure::Failure,
    pool::AnyPool,
    select,
    session::{Access, with_pool},
    size::Bytes,
    time,
    tree::{self, Node},
    ui::{Report, Style, Ui},
    view::LayerView,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl list p.cowl
  cowl list p.cowl --tree

OWNS is what was written in a layer since the one below it was taken. Volumes are marked with *. The tree also shows \
deleted layers, in grey: branching points that stay until one branch is left, and layers that `cowl merge` will work off.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// Draw the tree
    #[arg(long, short)]
    tree: bool,
    /// Show deleted layers and attachments too
    #[arg(long, short)]
    all: bool,
    /// Show UUIDs
    #[arg(long)]
    uuid: bool,
}

#[derive(Debug, Serialize)]
struct Listing {
    #[serde(skip)]
    tree: bool,
    #[serde(skip)]
    uuid: bool,
    layers: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    layer: LayerView,
    description: String,
    attachments: Vec<String>,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    ui.show(&with_pool(ui, &args.pool, Access::Read, |pool| collect(pool, args))?)
}

fn collect(pool: &mut dyn AnyPool, args: &Args) -> Result<Listing, Failure> {
    let units = pool.units();
    let mut attachments: HashMap<u32, Vec<String>> = HashMap::new();
    let mut layers = Vec::new();
    for layer in select::records(pool)? {
        if let (LayerKind::Attachment, Some(owner)) = (layer.kind, layer.owner) {
            attachments.entry(owner.0).or_default().push(layer.name.to_string());
        }
        let shown = match layer.kind {
            LayerKind::Attachment => args.all && !args.tree,
            _ => args.all || args.tree || !layer.flags.contains(LayerFlags::DELETED),
        };
        if shown {
            let description = super::describe::read(pool, &layer)?;
            layers.push(Row { layer: LayerView::new(&layer, units), description, attachments: Vec::new() });
        }
    }
    for row in &mut layers {
        row.attachments = attachments.remove(&row.layer.id).unwrap_or_default();
    }
    Ok(Listing { tree: args.tree, uuid: args.uuid, layers })
}

impl Report for Listing {
    fn text(&self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        if self.layers.is_empty() {
            return writeln!(out, "no layers yet");
        }
        let order = if self.tree {
            let nodes: Vec<Node> =
                self.layers.iter().map(|row| Node { id: row.layer.id, parent: row.layer.parent }).collect();
            tree::draw(&nodes)
        } else {
            (0..self.layers.len()).map(|index| (index, String::new())).collect()
        };
        let titles: Vec<String> =
            order.iter().map(|(index, prefix)| format!("{prefix}{}", title(&self.layers[*index].layer))).collect();
        let width = titles.iter().map(|title| title.chars().count()).max().unwrap_or(0).max(4);
        writeln!(
            out,
            "{}",
            style.bold(format!(
                "{}  {:>6}  {:>10}  {:>10}  {:<19}  WHAT",
                tree::pad("NAME", width),
                "ID",
                "SIZE",
                "OWNS",
                "CREATED"
            ))
        )?;
        for ((index, _), title) in order.iter().zip(&titles) {
            let row = &self.layers[*index];
            let line = self.line(row, &tree::pad(title, width));
            writeln!(out, "{}", if row.layer.deleted { style.dim(line) } else { line })?;
        }
        Ok(())
    }
}

impl Listing {
    fn line(&self, row: &Row, title: &str) -> String {
        let layer = &row.layer;
        let id = format!("#{}", layer.id);
        let head = format!(
            "{title}  {id:>6}  {:>10}  {:>10}  {:<19}  {}",
            Bytes(layer.size),
            Bytes(layer.owned),
            time::local(layer.created),
            layer.marks()
        );
        let reverted = layer
            .reverted_at
            .map(|at| format!(", rolled back to #{} {}", layer.reverted_from.unwrap_or_default(), time::local(at)));
        let attached = (!row.attachments.is_empty()).then(|| format!(" + {}", row.attachments.join(", ")));
        let parts = [
            Some(head),
            layer.owner.map(|owner| format!(" of #{owner}")),
            reverted,
            attached,
            row.description.lines().next().map(|first| format!(": {first}")),
            self.uuid.then(|| format!("  {}", layer.uuid)),
        ];
        parts.into_iter().flatten().collect()
    }
}

fn title(layer: &LayerView) -> String {
    let star = if layer.kind == "volume" && !layer.deleted { " *" } else { "" };
    format!("{}{star}", layer.title())
}
