//! `cowl rollback` (also `switch`): a volume becomes what it was in a snapshot.

use std::path::PathBuf;

use cowl::Attributes;

use super::super::{
    failure::Failure,
    merging, select,
    session::{Access, with_pool},
    time,
    ui::Ui,
};
use super::{Done, attributes};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl rollback p.cowl vm before-upgrade
  cowl rollback p.cowl vm before-upgrade --keep broken
  cowl switch p.cowl vm broken --keep good

Any snapshot of the volume's tree will do, older or newer; newer snapshots stay. What was written since the last \
snapshot is lost, unless --keep makes a snapshot of it. A volume that clients of the pool's server are using is rolled back only \
with --force, which cuts them off first.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The volume
    volume: String,
    /// The snapshot
    snapshot: String,
    /// Keep what the volume holds now as a snapshot of this name
    #[arg(long, value_name = "NAME")]
    keep: Option<String>,
    /// Leave giving back the space of what is lost to `cowl merge`
    #[arg(long)]
    no_merge: bool,
    /// Roll back a volume that clients of the pool's server are using: these are cut off first
    #[arg(long)]
    force: bool,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let done = with_pool(ui, &args.pool, Access::Write, |pool| {
        let volume = select::volume(pool, &args.volume)?;
        let snapshot = select::snapshot(pool, &args.snapshot)?;
        let keep: Option<Attributes<'_>> = args.keep.as_deref().map(|name| attributes(name, ""));
        let kept = pool
            .rollback(volume.id, snapshot.id, time::now(), keep.as_ref(), args.force)
            .map_err(|failure| failure.during(format_args!("cannot roll back {}", select::show(&volume))))?;
        let kept_as = match (kept, &args.keep) {
            (Some(id), Some(name)) => format!("; what it held before is kept as `{name}` {id}"),
            _ => String::new(),
        };
        let text = format!("{} is again what it was in {}{kept_as}", select::show(&volume), select::show(&snapshot));
        if !args.no_merge {
            merging::merge_all(ui, pool)?;
        }
        Done::new(pool, &[Some(volume.id), kept].into_iter().flatten().collect::<Vec<_>>(), text)
    })?;
    ui.show(&done)
}
