//! `cowl what-if`: what deleting would give back.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use cowl::LayerId;
use serde::Serialize;

use super::super::{
    failure::Failure,
    interrupt,
    pool::AnyPool,
    select,
    session::{Access, with_pool},
    size::Bytes,
    ui::{Report, Style, Ui, Unit},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl what-if p.cowl before-upgrade
  cowl what-if p.cowl monday tuesday
  cowl what-if p.cowl

Together layers can free more than the sum of what each frees alone: what only they share goes too. \
Without layers, each one of the pool is asked about alone.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The layers
    layers: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Line {
    layer: String,
    id: u32,
    owned: u64,
    frees: u64,
}

#[derive(Debug, Serialize)]
struct Answer {
    layers: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    together: Option<u64>,
}

impl Report for Answer {
    fn text(&self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        let width = self.layers.iter().map(|line| line.layer.chars().count()).max().unwrap_or(0).max(8);
        writeln!(out, "{}", style.bold(format!("{:<width$}  {:>6}  {:>10}  {:>10}", "LAYER", "ID", "OWNS", "FREES")))?;
        for line in &self.layers {
            writeln!(
                out,
                "{:<width$}  {:>6}  {:>10}  {:>10}",
                line.layer,
                format!("#{}", line.id),
                Bytes(line.owned),
                Bytes(line.frees)
            )?;
        }
        match self.together {
            Some(together) => writeln!(out, "{:<width$}  {:>6}  {:>10}  {:>10}", "together", "", "", Bytes(together)),
            None => Ok(()),
        }
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    ui.show(&with_pool(ui, &args.pool, Access::Read, |pool| ask(ui, pool, args))?)
}

fn ask(ui: &Ui, pool: &mut dyn AnyPool, args: &Args) -> Result<Answer, Failure> {
    let units = pool.units();
    let layers = if args.layers.is_empty() {
        select::layers(pool)?
    } else {
        args.layers.iter().map(|text| select::layer(pool, text)).collect::<Result<_, _>>()?
    };
    let owns = |layer: &cowl::LayerInfo| layer.delta.data + layer.delta.nodes;
    let mut progress = ui.progress("counting", layers.iter().map(owns).sum(), Unit::Steps);
    let mut lines = Vec::new();
    for layer in &layers {
        interrupt::check("not every layer was asked about", "name the layers that matter")?;
        let freed = pool.what_if_freed(&[layer.id])?;
        progress.add(owns(layer));
        let owned = units.blocks(owns(layer));
        lines.push(Line {
            layer: layer.name.to_string(),
            id: layer.id.0,
            owned,
            frees: units.blocks(freed.data + freed.nodes),
        });
    }
    let together = if args.layers.len() > 1 {
        let set: Vec<LayerId> = layers.iter().map(|layer| layer.id).collect();
        let freed = pool.what_if_freed(&set)?;
        Some(units.blocks(freed.data + freed.nodes))
    } else {
        None
    };
    progress.finish();
    Ok(Answer { layers: lines, together })
}
