//! Planting: text of sources in, text of sources out.
//!
//! Every planted bug stays beside what it replaces: `if planted::on(7) { bug } else { original }`. One build then has them all, and
//! the process chooses which one is on. Snippets are found by their exact text and must occur exactly once, so a bug whose place
//! was rewritten is noticed, not lost.

use std::{collections::BTreeMap, ops::Range};

use super::{Bug, Edit};

/// An edit whose place in a source was found.
#[derive(Debug, Clone)]
struct Found<'e> {
    range: Range<usize>,
    number: u32,
    replacement: &'e str,
}

/// The sources by path, with every bug planted that concerns one of them. Sources without a bug are left out.
///
/// # Errors
/// A snippet that does not occur exactly once, or two that overlap.
pub fn plant(bugs: &[Bug], read: impl Fn(&str) -> Result<String, String>) -> Result<BTreeMap<String, String>, String> {
    let mut by_file: BTreeMap<&str, Vec<(u32, &Edit)>> = BTreeMap::new();
    for bug in bugs {
        for edit in bug.edits {
            by_file.entry(edit.file).or_default().push((bug.number, edit));
        }
    }
    let mut planted = BTreeMap::new();
    for (file, edits) in by_file {
        let source = read(file)?;
        let text = plant_into(&source, file, &edits).map_err(|what| format!("{file}: {what}"))?;
        planted.insert(file.to_owned(), text);
    }
    Ok(planted)
}

/// One source with all its bugs.
fn plant_into(source: &str, file: &str, edits: &[(u32, &Edit)]) -> Result<String, String> {
    let mut found = Vec::new();
    for (number, edit) in edits {
        let range = place(source, edit).map_err(|what| format!("bug {number}: {what}"))?;
        found.push(Found { range, number: *number, replacement: edit.replacement });
    }
    found.sort_by_key(|edit| (edit.range.start, std::cmp::Reverse(edit.range.end), edit.number));
    let on = if file.starts_with("core/") { "crate::planted::on" } else { "cowl::planted::on" };
    render(source, 0..source.len(), &found, on)
}

/// Where the marked part of the snippet is in the source.
fn place(source: &str, edit: &Edit) -> Result<Range<usize>, String> {
    let (before, marked, behind) = parts(edit.original)?;
    let whole = [before, marked, behind].concat();
    let mut places = source.match_indices(&whole);
    match (places.next(), places.next()) {
        (Some((at, _)), None) => Ok(at + before.len()..at + before.len() + marked.len()),
        (None, _) => Err(format!("`{whole}` is not there any more")),
        _ => Err(format!("`{whole}` is there more than once: give more of what is around it")),
    }
}

/// A snippet's context before, the part that is replaced, and the context behind.
fn parts(original: &str) -> Result<(&str, &str, &str), String> {
    match (original.split_once('«'), original.matches('»').count()) {
        (None, 0) => Ok(("", original, "")),
        (Some((before, rest)), 1) if !rest.contains('«') => {
            let (marked, behind) = rest.split_once('»').ok_or("the marks are in the wrong order")?;
            Ok((before, marked, behind))
        }
        _ => Err(format!("`{original}` has marks that do not match")),
    }
}

/// The text of a range; edits inside it are nested or apart.
fn render(source: &str, range: Range<usize>, edits: &[Found<'_>], on: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut at = range.start;
    let mut rest = edits;
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|edit| edit.range == first.range).count();
        let inside = rest.iter().take_while(|edit| edit.range.start < first.range.end || edit.range == first.range);
        let inside = inside.count();
        if first.range.start < at || rest[..inside].iter().any(|edit| edit.range.end > first.range.end) {
            return Err(format!("bug {} overlaps another one", first.number));
        }
        text.push_str(&source[at..first.range.start]);
        let original = render(source, first.range.clone(), &rest[same..inside], on)?;
        text.push_str(&choice(&rest[..same], &original, on));
        at = first.range.end;
        rest = &rest[inside..];
    }
    text.push_str(&source[at..range.end]);
    Ok(text)
}

/// The choice between some bugs and the original.
fn choice(bugs: &[Found<'_>], original: &str, on: &str) -> String {
    let mut text = String::new();
    for bug in bugs {
        text.extend(["if ", on, "(", &bug.number.to_string(), ") { ", bug.replacement, " } else "]);
    }
    text.extend(["{ ", original, " }"]);
    let trimmed = original.trim_end();
    let statement = trimmed.is_empty() || trimmed.ends_with(';') || trimmed.ends_with('}');
    if statement { text } else { format!("({text})") }
}

#[cfg(test)]
mod tests {
    use super::plant_into;
    use crate::bugs::Edit;

    fn edit(original: &'static str, replacement: &'static str) -> Edit {
        Edit { file: "core/src/x.rs", original, replacement }
    }

    #[test]
    fn statements_expressions_and_nested_edits_become_choices() {
        let source = "fn f() { a(); let x = b + 1; }";
        let edits = [(1, &edit("a();", "")), (2, &edit("x = «b + 1»;", "b")), (3, &edit("x = «b» +", "c"))];
        assert_eq!(
            plant_into(source, "core/src/x.rs", &edits).unwrap(),
            "fn f() { if crate::planted::on(1) {  } else { a(); } let x = (if crate::planted::on(2) { b } else \
             { (if crate::planted::on(3) { c } else { b }) + 1 }); }"
        );
    }

    #[test]
    fn several_bugs_share_a_place_and_nothing_can_be_inserted_before_something() {
        let edits = [(1, &edit("a();", "x();")), (2, &edit("a();", "y();")), (3, &edit("{«» a", "z();"))];
        assert_eq!(
            plant_into("{ a(); }", "host-sim/x.rs", &edits).unwrap(),
            "{if cowl::planted::on(3) { z(); } else {  } if cowl::planted::on(1) { x(); } else \
             if cowl::planted::on(2) { y(); } else { a(); } }"
        );
    }

    #[test]
    fn a_snippet_that_is_missing_or_there_twice_is_refused() {
        for (original, why) in [("b();", "not there"), ("a();", "more than once"), ("«a();", "do not match")] {
            let refused = plant_into("a(); a();", "core/src/x.rs", &[(1, &edit(original, ""))]).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn snippets_that_overlap_are_refused() {
        let edits = [(1, &edit("a(); b();", "")), (2, &edit("b(); c();", ""))];
        assert!(plant_into("a(); b(); c();", "core/src/x.rs", &edits).unwrap_err().contains("overlaps"));
    }
}
