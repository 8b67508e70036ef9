//! `cowl snapshot`: one volume, or several at the same moment, with attachments, in one commit.

use std::path::PathBuf;

use cowl::{LayerId, SnapshotOf};

use super::super::{
    failure::{Failure, Kind},
    pool::AnyPool,
    select,
    session::{Access, with_pool},
    staging::{Request, parse_request, stage},
    ui::Ui,
};
use super::{Done, attributes};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl snapshot p.cowl vm --name before-upgrade --description \"clean install\"
  cowl snapshot p.cowl vm --name running --attach memory=vm.mem --attach config=vm.xml
  cowl snapshot p.cowl root home --name monday

Of several volumes each snapshot is called NAME-VOLUME (monday-root, monday-home); they are of the same moment, and \
attachments go with the first. A snapshot takes no space until the volume is written.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The volumes
    #[arg(required = true)]
    volumes: Vec<String>,
    /// The snapshot's name
    #[arg(long, short)]
    name: String,
    /// A text to keep with it
    #[arg(long, short, default_value = "", hide_default_value = true)]
    description: String,
    /// A file to keep with it, as NAME=FILE; may be repeated
    #[arg(long, value_name = "NAME=FILE", value_parser = parse_request)]
    attach: Vec<Request>,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    ui.show(&with_pool(ui, &args.pool, Access::Write, |pool| take(ui, pool, args))?)
}

fn take(ui: &Ui, pool: &mut dyn AnyPool, args: &Args) -> Result<Done, Failure> {
    let mut volumes = Vec::new();
    for text in &args.volumes {
        let volume = select::volume(pool, text)?;
        if volumes.iter().any(|other: &cowl::LayerInfo| other.id == volume.id) {
            return Err(Failure::new(Kind::Usage, format!("{} is named twice", select::show(&volume))));
        }
        volumes.push(volume);
    }
    let names: Vec<String> = match volumes.as_slice() {
        [_] => vec![args.name.clone()],
        several => several.iter().map(|volume| format!("{}-{}", args.name, volume.name)).collect(),
    };
    // Refused before any attachment is copied in.
    for name in &names {
        if pool.find(name)?.is_some() {
            return Err(Failure::new(Kind::Refused, format!("there already is a layer `{name}`"))
                .hint("choose another name, or rename or delete that layer"));
        }
    }
    let staged = stage(ui, pool, &args.attach)?;
    let of: Vec<SnapshotOf<'_>> = volumes
        .iter()
        .zip(&names)
        .enumerate()
        .map(|(index, (volume, name))| SnapshotOf {
            volume: volume.id,
            attributes: attributes(name, &args.description),
            attachments: if index == 0 { &staged } else { &[] },
        })
        .collect();
    let first = pool.snapshot(&of).map_err(|failure| failure.during("cannot take the snapshot"))?;
    let ids: Vec<LayerId> = (first.0..).take(of.len()).map(LayerId).collect();
    let text: Vec<String> = names
        .iter()
        .zip(&ids)
        .zip(&volumes)
        .map(|((name, id), volume)| format!("{name} {id}: a snapshot of {}", select::show(volume)))
        .collect();
    let attached: Vec<&str> = args.attach.iter().map(|request| request.name.as_str()).collect();
    let attached = if attached.is_empty() { String::new() } else { format!(", with {} attached", attached.join(", ")) };
    Done::new(pool, &ids, text.join("\n") + &attached)
}
