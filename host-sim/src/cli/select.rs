//! Which layer is meant: a name, `#ID`, or a UUID.

use cowl::{LayerFlags, LayerId, LayerInfo, LayerKind};
use uuid::Uuid;

use super::{
    failure::{Failure, Kind},
    pool::{AnyPool, Records},
};

/// The layer that the text names: by name first, then by `#ID`, then by UUID.
///
/// # Errors
/// There is none, or it is deleted.
pub fn layer(pool: &mut dyn AnyPool, text: &str) -> Result<LayerInfo, Failure> {
    if !text.is_empty()
        && text.len() <= cowl::Name::CAPACITY
        && let Some(found) = pool.find(text)?
    {
        return Ok(found);
    }
    if let Some(id) = number(text) {
        return match pool.layer(id) {
            Ok(found) if !found.flags.contains(LayerFlags::DELETED) => Ok(found),
            Ok(_) => Err(Failure::new(Kind::NotFound, format!("layer {id} is deleted"))),
            Err(failure) if failure.kind == Kind::NotFound => Err(missing(pool, text)),
            Err(failure) => Err(failure),
        };
    }
    let Ok(uuid) = Uuid::parse_str(text) else { return Err(missing(pool, text)) };
    let found = layers(pool)?.into_iter().find(|found| found.uuid == *uuid.as_bytes());
    found.ok_or_else(|| missing(pool, text))
}

/// The volume that the text names.
///
/// # Errors
/// There is none, or it is not a volume.
pub fn volume(pool: &mut dyn AnyPool, text: &str) -> Result<LayerInfo, Failure> {
    let found = layer(pool, text)?;
    if found.kind == LayerKind::Volume {
        return Ok(found);
    }
    Err(Failure::new(Kind::Refused, format!("{} is {}, this needs a volume", show(&found), kind(found.kind)))
        .hint("`cowl clone POOL SNAPSHOT NEW` makes a volume of a snapshot"))
}

/// The snapshot that the text names.
///
/// # Errors
/// There is none, or it is not a snapshot.
pub fn snapshot(pool: &mut dyn AnyPool, text: &str) -> Result<LayerInfo, Failure> {
    let found = layer(pool, text)?;
    if found.kind == LayerKind::Snapshot {
        return Ok(found);
    }
    Err(Failure::new(Kind::Refused, format!("{} is {}, this needs a snapshot", show(&found), kind(found.kind)))
        .hint("`cowl snapshot POOL VOLUME --name NAME` takes one"))
}

/// The attachment of a layer that the text names.
///
/// # Errors
/// There is none.
pub fn attachment(pool: &mut dyn AnyPool, owner: &LayerInfo, name: &str) -> Result<LayerInfo, Failure> {
    let all = attachments(pool, owner.id)?;
    let names: Vec<String> = all.iter().map(|found| found.name.to_string()).collect();
    let hint =
        if names.is_empty() { "it has no attachments".to_owned() } else { format!("it has: {}", names.join(", ")) };
    all.into_iter()
        .find(|found| &*found.name == name)
        .ok_or_else(|| Failure::new(Kind::NotFound, format!("{} has no attachment `{name}`", show(owner))).hint(hint))
}

/// All attachments of a layer.
///
/// # Errors
/// The catalog cannot be read.
pub fn attachments(pool: &mut dyn AnyPool, owner: LayerId) -> Result<Vec<LayerInfo>, Failure> {
    all(pool, Records::AttachmentsOf(owner.0))
}

/// All live volumes and snapshots.
///
/// # Errors
/// The catalog cannot be read.
pub fn layers(pool: &mut dyn AnyPool) -> Result<Vec<LayerInfo>, Failure> {
    all(pool, Records::Layers)
}

/// Every record of the catalog: deleted layers and attachments too.
///
/// # Errors
/// The catalog cannot be read.
pub fn records(pool: &mut dyn AnyPool) -> Result<Vec<LayerInfo>, Failure> {
    all(pool, Records::All)
}

/// Everything, page by page.
fn all(pool: &mut dyn AnyPool, which: Records) -> Result<Vec<LayerInfo>, Failure> {
    let mut all: Vec<LayerInfo> = Vec::new();
    loop {
        let page = pool.records(which, all.last().map(|last| last.id))?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// How messages name a layer.
pub fn show(layer: &LayerInfo) -> String {
    if layer.name.is_empty() { layer.id.to_string() } else { format!("`{}`", layer.name) }
}

/// The word for a kind of layer, with its article.
pub fn kind(kind: LayerKind) -> &'static str {
    match kind {
        LayerKind::Volume => "a volume",
        LayerKind::Snapshot => "a snapshot",
        LayerKind::Attachment => "an attachment",
    }
}

/// The number in `#7`.
fn number(text: &str) -> Option<LayerId> {
    text.strip_prefix('#')?.parse().ok().map(LayerId)
}

fn missing(pool: &mut dyn AnyPool, text: &str) -> Failure {
    let failure = Failure::new(Kind::NotFound, format!("there is no layer `{text}` in the pool"));
    let names: Vec<String> = layers(pool).unwrap_or_default().iter().map(show).collect();
    match names.len() {
        0 => failure.hint("the pool has no layers yet; `cowl create` or `cowl import` makes a volume"),
        1..=8 => failure.hint(format!("it has {}", names.join(", "))),
        count => failure.hint(format!("it has {count} layers; `cowl list` shows them")),
    }
}

#[cfg(test)]
mod tests {
    use super::{LayerId, number};

    #[test]
    fn a_number_needs_its_sign() {
        assert_eq!(number("#7"), Some(LayerId(7)));
        assert_eq!((number("7"), number("#"), number("#x"), number("#-1")), (None, None, None, None));
    }
}
