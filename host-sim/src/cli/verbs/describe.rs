//! `cowl describe`: the text that is kept with a layer.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use cowl::LayerInfo;
use serde::Serialize;

use super::super::{
    failure::Failure,
    pool::AnyPool,
    select,
    session::{Access, with_pool},
    ui::{Report, Style, Ui},
};
use super::Done;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl describe p.cowl before-upgrade
  cowl describe p.cowl before-upgrade \"Debian 12, all updates, before the move to 13\"")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The layer
    layer: String,
    /// The new text, up to 767 bytes, may have several lines; without it the present one is shown
    text: Option<String>,
}

#[derive(Debug, Serialize)]
struct Description {
    layer: String,
    description: String,
}

impl Report for Description {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        if self.description.is_empty() { Ok(()) } else { writeln!(out, "{}", self.description) }
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let Some(text) = &args.text else {
        let description = with_pool(ui, &args.pool, Access::Read, |pool| {
            let layer = select::layer(pool, &args.layer)?;
            Ok(Description { layer: layer.name.to_string(), description: read(pool, &layer)? })
        })?;
        return ui.show(&description);
    };
    let done = with_pool(ui, &args.pool, Access::Write, |pool| {
        let layer = select::layer(pool, &args.layer)?;
        pool.describe(layer.id, text)
            .map_err(|failure| failure.during(format_args!("cannot describe {}", select::show(&layer))))?;
        Done::new(pool, &[layer.id], format!("{} is described", select::show(&layer)))
    })?;
    ui.show(&done)
}

/// The description of a layer; a deleted one has none any more.
///
/// # Errors
/// The catalog cannot be read.
pub fn read(pool: &mut dyn AnyPool, layer: &LayerInfo) -> Result<String, Failure> {
    if layer.description == 0 { Ok(String::new()) } else { pool.description(layer.id) }
}
