//! Which functions wait for a device, and which types have to be there twice because of them.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Expr, Item, spanned::Spanned, visit::Visit};

use crate::read::{Function, Source, functions, last_name, leaves, name, slice, words};

/// A function: the type that it belongs to, and its name.
pub type Key = (Option<String>, String);

pub struct Colours {
    /// Functions that wait.
    pub waiting: BTreeSet<Key>,
    /// Types, traits and free functions that the twin has of its own, and the module of the original.
    pub doubled: BTreeMap<String, String>,
}

/// What the twin does not have: `Iterator` has no asynchronous form in the standard library.
pub const LEFT_OUT: [&str; 2] = ["Layers", "layers"];

/// Traits all of whose functions wait, but for those that only tell or move something in memory.
pub fn is_waiting_trait(of_trait: &str, function: &str) -> bool {
    match of_trait {
        "BlockDevice" => function != "geometry",
        "Read" | "Write" | "Seek" => true,
        _ => false,
    }
}

/// A call in the body of a function.
pub struct Call {
    pub key: Key,
    /// The byte behind it.
    pub end: usize,
    /// What it is called on, where that could not be told.
    doubt: Option<String>,
    pub in_closure: bool,
}

struct Calls<'a> {
    text: &'a str,
    owner: Option<String>,
    closures: usize,
    found: Vec<Call>,
}

impl Calls<'_> {
    /// The type of what a method is called on, by the names that the core gives its variables and fields.
    fn type_of(&self, receiver: &Expr) -> Option<String> {
        let by_name = |name: &str| {
            let name = match name {
                "self" => return self.owner.clone(),
                "store" => "Store",
                "pool" => "Pool",
                "device" | "base" => "BlockDevice",
                "question" => "WhatIf",
                "walk" => "Walk",
                "run" => "Checking",
                "reader" => "Reader",
                "medium" => "Medium",
                "view" => "SuperblockView",
                _ => return None,
            };
            Some(name.to_owned())
        };
        match receiver {
            Expr::Path(path) => by_name(&path.path.get_ident()?.to_string()),
            Expr::Field(field) => match &field.member {
                syn::Member::Named(name) => by_name(&name.to_string()),
                syn::Member::Unnamed(_) => None,
            },
            Expr::Paren(inner) => self.type_of(&inner.expr),
            Expr::Reference(inner) => self.type_of(&inner.expr),
            Expr::Unary(inner) => self.type_of(&inner.expr),
            _ => None,
        }
    }
}

impl<'ast> Visit<'ast> for Calls<'_> {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let owner = self.type_of(&call.receiver);
        self.found.push(Call {
            doubt: owner.is_none().then(|| slice(self.text, &call.receiver).to_owned()),
            key: (owner, call.method.to_string()),
            end: call.span().byte_range().end,
            in_closure: self.closures > 0,
        });
        syn::visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let Expr::Path(path) = &*call.func {
            let mut names = path.path.segments.iter().rev().map(|segment| segment.ident.to_string());
            let function = names.next().unwrap_or_default();
            let owner = names.next().filter(|name| name.starts_with(char::is_uppercase));
            let owner = if owner.as_deref() == Some("Self") { self.owner.clone() } else { owner };
            let end = call.span().byte_range().end;
            self.found.push(Call { key: (owner, function), end, doubt: None, in_closure: self.closures > 0 });
        }
        syn::visit::visit_expr_call(self, call);
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        self.closures += 1;
        syn::visit::visit_expr_closure(self, closure);
        self.closures -= 1;
    }
}

/// The calls of a function, in the order of their ends.
pub fn calls(source: &Source, function: &Function<'_>) -> Vec<Call> {
    let mut calls = Calls { text: &source.text, owner: function.owner.clone(), closures: 0, found: Vec::new() };
    if let Some(body) = function.body {
        calls.visit_block(body);
    }
    calls.found.sort_by_key(|call| call.end);
    calls.found
}

pub fn key(function: &Function<'_>) -> Key {
    // Devices are called through the trait, whatever they are.
    (function.owner.clone(), function.signature.ident.to_string())
}

pub fn colours(sources: &[Source]) -> Colours {
    let mut waiting: BTreeSet<Key> = BTreeSet::new();
    loop {
        let before = waiting.len();
        for source in sources {
            for function in source.items.iter().flat_map(functions) {
                let waits = function
                    .of_trait
                    .as_ref()
                    .is_some_and(|of_trait| is_waiting_trait(of_trait, &function.signature.ident.to_string()))
                    || calls(source, &function).iter().any(|call| waiting.contains(&call.key));
                if waits {
                    waiting.insert(key(&function));
                }
            }
        }
        if waiting.len() == before {
            break;
        }
    }
    look_for_doubts(sources, &waiting);
    let doubled = doubled(sources, &waiting);
    Colours { waiting, doubled }
}

/// A call of which nobody can tell whether it waits must not go by unnoticed.
fn look_for_doubts(sources: &[Source], waiting: &BTreeSet<Key>) {
    let names: BTreeSet<&str> = waiting.iter().map(|(_, name)| name.as_str()).collect();
    let mut doubts = Vec::new();
    for source in sources {
        for function in source.items.iter().flat_map(functions) {
            for call in calls(source, &function) {
                let waits = waiting.contains(&call.key);
                if waits && call.in_closure {
                    doubts.push(format!(
                        "{}: {}: {:?} is called in a closure",
                        source.path, function.signature.ident, call.key
                    ));
                }
                if let Some(receiver) =
                    call.doubt.filter(|receiver| names.contains(call.key.1.as_str()) && !is_memory(receiver))
                {
                    doubts.push(format!(
                        "{}: {}: does {receiver}.{}() wait?",
                        source.path, function.signature.ident, call.key.1
                    ));
                }
            }
        }
    }
    assert!(doubts.is_empty(), "{}", doubts.join("\n"));
}

/// What is in memory does not wait, even if something else has a function of the same name that does.
fn is_memory(receiver: &str) -> bool {
    let last = receiver.rsplit(['.', ' ']).next().unwrap_or(receiver);
    ["cache", "pending", "window", "heads", "layout", "flags"].contains(&last) || receiver.ends_with(')')
}

fn doubled(sources: &[Source], waiting: &BTreeSet<Key>) -> BTreeMap<String, String> {
    let mut doubled: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let before = doubled.len();
        for source in sources {
            let known = known(source);
            for item in &source.items {
                let waits = functions(item).iter().any(|function| waiting.contains(&key(function)));
                let of = match item {
                    Item::Impl(block) if block.trait_.is_some() => None,
                    Item::Impl(block) => last_name(&block.self_ty),
                    _ => name(item),
                };
                let Some(of) = of else { continue };
                let bare = bare(slice(&source.text, item));
                let names = words(&bare).any(|word| doubled.contains_key(word) && word != of && known.contains(word));
                if waits || names {
                    let home =
                        sources.iter().find(|source| source.items.iter().any(|item| name(item).as_ref() == Some(&of)));
                    let home = home.unwrap_or_else(|| panic!("{of} is defined in a source without a twin"));
                    doubled.entry(of).or_insert_with(|| home.module.clone());
                }
            }
        }
        if doubled.len() == before {
            return doubled;
        }
    }
}

/// The names that a source gives or imports: elsewhere something else may be called the same.
pub fn known(source: &Source) -> BTreeSet<String> {
    let imports = source.items.iter().filter_map(|item| match item {
        Item::Use(import) => Some(leaves(&import.tree)),
        _ => None,
    });
    let imported = imports.flatten().filter_map(|leaf| leaf.last().cloned());
    imported.chain(source.items.iter().filter_map(name)).collect()
}

/// Without comments, which may name what they like, and without the standard library's type that an alias is called after.
fn bare(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n").replace("core::result::Result", "")
}
