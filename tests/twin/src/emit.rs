//! Writes the twin of a source.

use std::collections::BTreeSet;

use syn::{Item, Visibility, spanned::Spanned};

use crate::{
    colour::{Call, Colours, LEFT_OUT, calls, key, known},
    read::{Function, Source, functions, leaves, name, slice, words},
};

/// A text to be put in, and where.
type Insertion = (usize, String);

/// The twin's text, before it is formatted.
pub fn twin(source: &Source, sources: &[Source], colours: &Colours) -> String {
    let mut imports = BTreeSet::new();
    for item in &source.items {
        if let Item::Use(import) = item {
            imports.extend(leaves(&import.tree).iter().filter_map(|leaf| import_of(source, leaf, colours)));
        }
    }
    let (own, others): (Vec<String>, Vec<String>) = imports.into_iter().partition(|path| path.starts_with("crate::"));
    let mut text = format!(
        "//! Made from `{}` by `tests/twin`: change that one.\n\n\
         #![allow(unused_imports, private_interfaces, clippy::pedantic)]\n",
        source.path
    );
    // In the order that the formatter would give them.
    for group in [vec!["super::*".to_owned()], own, others] {
        text.push('\n');
        text.extend(group.iter().map(|path| format!("use {path};\n")));
    }
    let known = known(source);
    for item in source.items.iter().filter(|item| is_kept(source, &known, item, colours)) {
        text.push('\n');
        text += &converted(source, sources, item, colours);
        text.push('\n');
    }
    text
}

/// What is imported of the twin's own; the rest comes from the original.
fn import_of(source: &Source, leaf: &[String], colours: &Colours) -> Option<String> {
    let name = leaf.last()?;
    if leaf.first()? == "embedded_io" && ["Read", "Write", "Seek"].contains(&name.as_str()) {
        return Some(format!("embedded_io_async::{name}"));
    }
    let module = colours.doubled.get(name).filter(|module| **module != source.module)?;
    Some(format!("{module}::asynch::{name}"))
}

/// The item must be there a second time.
fn is_kept(source: &Source, known: &BTreeSet<String>, item: &Item, colours: &Colours) -> bool {
    let doubled = |name: &Option<String>| {
        name.as_deref().is_some_and(|name| colours.doubled.contains_key(name) && !LEFT_OUT.contains(&name))
    };
    match item {
        // What is there once, but over a pool or a device of either colour, has its traits in both.
        Item::Impl(block) => {
            let of_trait = block.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
            let head = slice(&source.text, block).split('{').next().unwrap_or("");
            of_trait.is_none_or(|of_trait| of_trait.ident != "Iterator")
                && words(head).any(|word| doubled(&Some(word.to_owned())) && known.contains(word))
        }
        _ => doubled(&name(item)),
    }
}

/// The item's text with what makes it wait.
fn converted(source: &Source, sources: &[Source], item: &Item, colours: &Colours) -> String {
    let range = item.span().byte_range();
    let mut insertions: Vec<Insertion> = Vec::new();
    let mut cuts = Vec::new();
    for function in functions(item) {
        if function.owner.is_some() && LEFT_OUT.contains(&function.signature.ident.to_string().as_str()) {
            let Item::Impl(block) = item else { continue };
            let method = block
                .items
                .iter()
                .find(|part| matches!(part, syn::ImplItem::Fn(method) if method.sig.ident == function.signature.ident));
            cuts.extend(method.map(|method| method.span().byte_range()));
            continue;
        }
        convert(source, sources, &function, colours, &mut insertions);
    }
    if let Item::Trait(definition) = item {
        insertions.push((definition.vis.span().byte_range().start, "#[allow(async_fn_in_trait)]\n".into()));
    }
    insertions.sort_by_key(|(at, _)| *at);
    let mut text = String::new();
    let mut at = range.start;
    for (to, put_in) in insertions {
        copy(&source.text, at, to, &cuts, &mut text);
        text += &put_in;
        at = to;
    }
    copy(&source.text, at, range.end, &cuts, &mut text);
    text.replace("pub(super)", "pub(crate)")
}

/// Copies a part of the text but for what is cut out of it.
fn copy(text: &str, from: usize, to: usize, cuts: &[std::ops::Range<usize>], into: &mut String) {
    let mut at = from;
    for cut in cuts.iter().filter(|cut| cut.start >= from && cut.end <= to) {
        *into += &text[at..cut.start];
        at = cut.end;
    }
    *into += &text[at..to];
}

fn convert(
    source: &Source,
    sources: &[Source],
    function: &Function<'_>,
    colours: &Colours,
    insertions: &mut Vec<Insertion>,
) {
    let signature = function.signature;
    let start = signature.fn_token.span.byte_range().start;
    // The twin of a child module is no child of the twin.
    if function.of_trait.is_none() && matches!(function.visibility, Some(Visibility::Inherited)) {
        let start = signature.constness.map_or(start, |token| token.span.byte_range().start);
        insertions.push((start, "pub(crate) ".into()));
    }
    if !colours.waiting.contains(&key(function)) {
        return;
    }
    insertions.push((start, "async ".into()));
    let calls = calls(source, function);
    for call in calls.iter().filter(|call| colours.waiting.contains(&call.key)) {
        insertions.push((call.end, ".await".into()));
    }
    if let Some(entry) = entry(function).filter(|_| is_entry(&calls, function, sources, colours)) {
        let Some(body) = function.body else { return };
        let open = body.brace_token.span.open().byte_range();
        let close = body.brace_token.span.close().byte_range();
        let result = match &signature.output {
            syn::ReturnType::Type(_, kind) => slice(&source.text, kind),
            syn::ReturnType::Default => "()",
        };
        if matches!(signature.inputs.first(), Some(syn::FnArg::Receiver(receiver)) if receiver.reference.is_none()) {
            // The pool ends with it.
            insertions.push((open.end, format!("{entry}.enter();")));
            return;
        }
        insertions.push((open.start, format!("{{ {entry}.enter(); let result: {result} = async ")));
        insertions.push((close.end, format!(".await; {entry}.leave(); result }}")));
    }
}

/// Where the function has the pool's state from, if it is one that users call.
fn entry(function: &Function<'_>) -> Option<&'static str> {
    if !function.public || function.of_trait.is_some() {
        return None;
    }
    let has_self = matches!(function.signature.inputs.first(), Some(syn::FnArg::Receiver(_)));
    match function.owner.as_deref() {
        Some("Pool") if has_self => Some("self.store"),
        Some("WhatIf") if has_self => Some("pool.store"),
        _ => None,
    }
}

/// It waits itself, and not only in others that users call.
fn is_entry(calls: &[Call], function: &Function<'_>, sources: &[Source], colours: &Colours) -> bool {
    let all: Vec<Function<'_>> = sources.iter().flat_map(|source| source.items.iter().flat_map(functions)).collect();
    let mut inner = 0;
    let mut entries = 0;
    for call in calls.iter().filter(|call| colours.waiting.contains(&call.key)) {
        let called = all.iter().find(|other| key(other) == call.key);
        match called.and_then(entry) {
            Some(_) => entries += 1,
            None => inner += 1,
        }
    }
    assert!(
        inner == 0 || entries == 0,
        "{} waits in functions that users call, and in others",
        function.signature.ident
    );
    inner > 0
}
