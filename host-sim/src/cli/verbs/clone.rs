//! `cowl clone` (also `branch`): a new volume on a snapshot.

use std::path::PathBuf;

use super::super::{
    failure::Failure,
    select,
    session::{Access, with_pool},
    ui::Ui,
};
use super::{Done, attributes};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  cowl clone p.cowl before-upgrade test

The new volume shares everything with the snapshot and takes space only for what is written to it.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The snapshot to begin from
    snapshot: String,
    /// The new volume's name
    name: String,
    /// Reserve space for all of it: it never runs out
    #[arg(long)]
    guaranteed: bool,
    /// A text to keep with it
    #[arg(long, short, default_value = "", hide_default_value = true)]
    description: String,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let done = with_pool(ui, &args.pool, Access::Write, |pool| {
        let snapshot = select::snapshot(pool, &args.snapshot)?;
        let id = pool
            .clone_snapshot(snapshot.id, &attributes(&args.name, &args.description), args.guaranteed)
            .map_err(|failure| failure.during(format_args!("cannot clone {}", select::show(&snapshot))))?;
        Done::new(pool, &[id], format!("{} {id}: a volume that begins as {}", args.name, select::show(&snapshot)))
    })?;
    ui.show(&done)
}
