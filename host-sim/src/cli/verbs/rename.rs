//! `cowl rename`.

use std::path::PathBuf;

use super::super::{
    failure::Failure,
    select,
    session::{Access, with_pool},
    ui::Ui,
};
use super::Done;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  cowl rename p.cowl test production")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The layer
    layer: String,
    /// Its new name: 1 to 63 bytes, not in use
    name: String,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let done = with_pool(ui, &args.pool, Access::Write, |pool| {
        let layer = select::layer(pool, &args.layer)?;
        pool.rename(layer.id, &args.name)
            .map_err(|failure| failure.during(format_args!("cannot rename {}", select::show(&layer))))?;
        Done::new(pool, &[layer.id], format!("{} is now called `{}`", select::show(&layer), args.name))
    })?;
    ui.show(&done)
}
