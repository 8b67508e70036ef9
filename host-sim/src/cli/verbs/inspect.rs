//! `cowl inspect`: what is where on the device.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use cowl::ExtentKind;
use serde::Serialize;

use super::super::{
    anatomy::{self, Item},
    failure::Failure,
    interrupt,
    pool::AnyPool,
    select,
    session::{Access, server_of, with_pool},
    ui::{Report, Style, Ui},
};
use crate::{FileOptions, HostDevice};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl inspect p.cowl
  cowl inspect p.cowl --data
  cowl inspect p.cowl vm

Offsets are in bytes from the start of the pool. The pool is not mounted for this, so a damaged one can be looked at too. \
With a layer: its extents, and where on the device each lies.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// Show this layer's extents instead
    layer: Option<String>,
    /// Show the data blocks of all layers too
    #[arg(long)]
    data: bool,
}

#[derive(Debug, Serialize)]
struct Inspection {
    items: Vec<Item>,
}

impl Report for Inspection {
    fn text(&self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", style.bold(format!("{:>16} {:>14}  {:<12}  ABOUT", "OFFSET", "LENGTH", "OBJECT")))?;
        for item in &self.items {
            let offset = item.offset.map_or("-".to_owned(), |offset| offset.to_string());
            writeln!(out, "{offset:>16} {:>14}  {:<12}  {}", item.length, item.object, item.about)?;
        }
        Ok(())
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let items = match &args.layer {
        Some(text) => with_pool(ui, &args.pool, Access::Read, |pool| {
            let layer = select::layer(pool, text)?;
            extents(pool, &layer)
        })?,
        None => whole(&args.pool, args.data)?,
    };
    ui.show(&Inspection { items })
}

/// Everything on the device: looked at without mounting, or by the server that holds the pool.
fn whole(path: &Path, data: bool) -> Result<Vec<Item>, Failure> {
    match HostDevice::open(path, &FileOptions::new().read_only(true)) {
        Ok(mut device) => anatomy::walk(&mut device, data),
        Err(error) if error.is_busy() => server_of(path, error.into())?.anatomy(data),
        Err(error) => Err(error.into()),
    }
}

fn extents(pool: &mut dyn AnyPool, layer: &cowl::LayerInfo) -> Result<Vec<Item>, Failure> {
    let mut items: Vec<Item> = Vec::new();
    let units = pool.units();
    let mut sector = 0;
    while sector < layer.sectors {
        interrupt::check("not everything was shown", "name one layer")?;
        let extent = pool.extent(layer.id, sector)?;
        let (object, offset) = match extent.kind {
            ExtentKind::Data { sector } => ("data", Some(units.sectors(sector))),
            ExtentKind::Zero => ("zeros", None),
            ExtentKind::Empty => ("empty", None),
        };
        let length = units.sectors(extent.count);
        match items.last_mut() {
            Some(last) if last.object == object && last.offset.map(|at| at + last.length) == offset => {
                last.length += length;
            }
            _ => items.push(Item {
                object: object.into(),
                offset,
                length,
                about: format!("{} at {}", select::show(layer), units.sectors(extent.sector)),
            }),
        }
        sector = extent.sector + extent.count.max(1);
    }
    Ok(items)
}
