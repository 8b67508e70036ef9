//! Makes `cowl::asynch` from the blocking core: a function that asks the device for something becomes `async`, so does what calls it,
//! and behind each such call goes an `.await`. Nothing else is changed.
//!
//! Reading it in this order: `read` (what is in the sources), `colour` (what waits), `emit` (the text). It knows no types: what a
//! method is called on it tells from the names that the core gives its variables, and where a name would not do it refuses. A wrong
//! guess does not compile.
//!
//! A source says that it has a twin by a module called `asynch`. Being its child, the twin sees everything in it, and has of its own only
//! what names a device: the rest is there once. Calls that users make begin with `enter` and end with `leave` (`core/src/asynch.rs`), so
//! that a future that was dropped is noticed.
//!
//! In a package of its own, because a twin that does not compile must not keep its remedy from being built.

mod colour;
mod emit;
mod read;

use std::path::Path;

/// A source of the blocking core, and what it makes.
pub struct Twin {
    /// The source's path below `core/src`.
    pub source: String,
    /// The twin's path below `core/src`.
    pub path: String,
    /// The twin's text, not yet formatted.
    pub text: String,
}

/// The twin of every source below `core/src` that has one.
pub fn twins(root: &Path) -> Vec<Twin> {
    let sources = read::sources(root);
    let colours = colour::colours(&sources);
    let twin = |source: &read::Source| Twin {
        source: source.path.clone(),
        path: source.twin.clone(),
        text: emit::twin(source, &sources, &colours),
    };
    sources.iter().map(twin).collect()
}
