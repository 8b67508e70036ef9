//! The planted bugs, by theme. Numbers are never given twice.

/// A list of bugs: number, rule, name, and in braces the edits: source, its text, what takes its place.
macro_rules! bugs {
    ($($number:literal $rule:literal $name:literal { $($file:literal: $original:literal => $replacement:literal),+ $(,)? })*) => {
        &[$($crate::bugs::Bug {
            number: $number,
            rule: $rule,
            name: $name,
            edits: &[$($crate::bugs::Edit { file: $file, original: $original, replacement: $replacement }),+],
        }),*]
    };
}

mod checkpoint;
mod format;
mod harness;
mod journal;
mod layers;
mod maps;
mod merge;
mod mount;
mod space;
mod transfers;
mod write;

use super::Bug;

/// Every planted bug, by number.
pub fn all() -> Vec<Bug> {
    let themes = [
        journal::BUGS,
        mount::BUGS,
        checkpoint::BUGS,
        write::BUGS,
        space::BUGS,
        maps::BUGS,
        layers::BUGS,
        merge::BUGS,
        format::BUGS,
        transfers::BUGS,
        harness::BUGS,
    ];
    let mut bugs = themes.concat();
    bugs.sort_by_key(|bug| bug.number);
    bugs
}
