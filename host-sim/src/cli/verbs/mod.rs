//! One file per verb: its arguments, what it does, what it reports.

pub mod attach;
pub mod bench;
pub mod check;
pub mod clone;
pub mod completions;
pub mod create;
pub mod delete;
pub mod demo;
pub mod describe;
pub mod diff;
pub mod discard;
pub mod export;
pub mod format;
pub mod grow;
pub mod import;
pub mod info;
pub mod inspect;
pub mod list;
pub mod merge;
pub mod metrics;
pub mod mount;
pub mod read;
pub mod rename;
pub mod resize;
pub mod rollback;
pub mod serve;
pub mod sim;
pub mod snapshot;
pub mod umount;
pub mod what_if;
pub mod write;

use std::io::{self, Write};

use cowl::{Attributes, LayerId};
use serde::Serialize;
use uuid::Uuid;

use super::{
    failure::Failure,
    pool::AnyPool,
    time,
    ui::{Report, Style},
    view::LayerView,
};

/// What a new layer is called, with a new UUID and the time of now.
pub(super) fn attributes<'a>(name: &'a str, description: &'a str) -> Attributes<'a> {
    Attributes { name, uuid: *Uuid::new_v4().as_bytes(), description, time: time::now() }
}

/// What a verb has done to which layers.
#[derive(Debug, Serialize)]
struct Done {
    /// What was done, as a sentence for people.
    #[serde(skip)]
    text: String,
    /// The layers that the verb made or changed, as they are now.
    layers: Vec<LayerView>,
}

impl Done {
    fn new(pool: &mut dyn AnyPool, ids: &[LayerId], text: impl Into<String>) -> Result<Self, Failure> {
        let units = pool.units();
        let mut layers = Vec::new();
        for id in ids {
            layers.push(LayerView::new(&pool.layer(*id)?, units));
        }
        Ok(Self { text: text.into(), layers })
    }
}

impl Report for Done {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.text)
    }
}
