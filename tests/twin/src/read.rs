//! The blocking sources, and what is in them.

use std::{fs, path::Path};

use syn::{ImplItem, Item, TraitItem, UseTree, spanned::Spanned};

/// A source that has a twin: it says so by a module called `asynch`.
pub struct Source {
    /// Its path below `core/src`.
    pub path: String,
    /// The path of its twin.
    pub twin: String,
    /// The path of its module.
    pub module: String,
    pub text: String,
    pub items: Vec<Item>,
}

/// Every source with a twin, in order.
pub fn sources(root: &Path) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(root, root, &mut paths);
    paths.sort();
    let mut sources = Vec::new();
    for path in paths {
        let text = fs::read_to_string(root.join(&path)).unwrap();
        let file = syn::parse_file(&text).unwrap_or_else(|why| panic!("{path}: {why}"));
        let has_twin =
            |item: &Item| matches!(item, Item::Mod(module) if module.ident == "asynch" && module.content.is_none());
        if path == "lib.rs" || !file.items.iter().any(has_twin) {
            continue;
        }
        let stem = path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
        sources.push(Source {
            twin: format!("asynch/{path}"),
            module: format!("crate::{stem}"),
            path,
            text,
            items: file.items,
        });
    }
    sources
}

fn collect(root: &Path, folder: &Path, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "asynch" {
                collect(root, &path, paths);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(name);
        }
    }
}

/// A function, where it belongs, and its parts.
pub struct Function<'a> {
    /// The type or trait that it is a function of.
    pub owner: Option<String>,
    /// The trait that it is an implementation of.
    pub of_trait: Option<String>,
    pub public: bool,
    pub signature: &'a syn::Signature,
    pub body: Option<&'a syn::Block>,
    pub visibility: Option<&'a syn::Visibility>,
}

/// The last name of a path, as of the type that an `impl` is for.
pub fn last_name(kind: &syn::Type) -> Option<String> {
    match kind {
        syn::Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        syn::Type::Reference(reference) => last_name(&reference.elem),
        _ => None,
    }
}

/// The functions of an item.
pub fn functions(item: &Item) -> Vec<Function<'_>> {
    match item {
        Item::Fn(function) => vec![Function {
            owner: None,
            of_trait: None,
            public: matches!(function.vis, syn::Visibility::Public(_)),
            signature: &function.sig,
            body: Some(&function.block),
            visibility: Some(&function.vis),
        }],
        Item::Impl(block) => {
            let of_trait = block.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
            let of_trait = of_trait.map(|segment| segment.ident.to_string());
            let owner = last_name(&block.self_ty);
            let methods = block.items.iter().filter_map(|item| match item {
                ImplItem::Fn(method) => Some(method),
                _ => None,
            });
            methods
                .map(|method| Function {
                    owner: owner.clone(),
                    public: matches!(method.vis, syn::Visibility::Public(_)),
                    signature: &method.sig,
                    body: Some(&method.block),
                    visibility: of_trait.is_none().then_some(&method.vis),
                    of_trait: of_trait.clone(),
                })
                .collect()
        }
        Item::Trait(definition) => {
            let methods = definition.items.iter().filter_map(|item| match item {
                TraitItem::Fn(method) => Some(method),
                _ => None,
            });
            methods
                .map(|method| Function {
                    owner: Some(definition.ident.to_string()),
                    of_trait: Some(definition.ident.to_string()),
                    public: true,
                    signature: &method.sig,
                    body: method.default.as_ref(),
                    visibility: None,
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The words of an item, to see what it names.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

/// The text of something, without the comments in front of it.
pub fn slice<'t>(text: &'t str, of: &impl Spanned) -> &'t str {
    &text[of.span().byte_range()]
}

/// An item's name, if others can name it.
pub fn name(item: &Item) -> Option<String> {
    match item {
        Item::Fn(function) => Some(function.sig.ident.to_string()),
        Item::Struct(item) => Some(item.ident.to_string()),
        Item::Enum(item) => Some(item.ident.to_string()),
        Item::Trait(item) => Some(item.ident.to_string()),
        Item::Type(item) => Some(item.ident.to_string()),
        _ => None,
    }
}

/// What an import brings in, each as its whole path.
pub fn leaves(tree: &UseTree) -> Vec<Vec<String>> {
    let mut leaves = Vec::new();
    flatten(tree, &mut Vec::new(), &mut leaves);
    leaves
}

fn flatten(tree: &UseTree, path: &mut Vec<String>, leaves: &mut Vec<Vec<String>>) {
    match tree {
        UseTree::Path(part) => {
            path.push(part.ident.to_string());
            flatten(&part.tree, path, leaves);
            path.pop();
        }
        UseTree::Name(name) => {
            path.push(name.ident.to_string());
            leaves.push(path.clone());
            path.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, path, leaves)),
        UseTree::Rename(_) | UseTree::Glob(_) => panic!("an import that the twin cannot follow: {path:?}"),
    }
}
