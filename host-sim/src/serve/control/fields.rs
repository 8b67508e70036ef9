//! The core's types as they travel in messages.

use cowl::{
    Attributes, Delta, Extent, ExtentKind, LayerFlags, LayerId, LayerInfo, LayerKind, Merge, Name, PoolInfo, Space,
};
use serde::{Deserialize, Serialize};

use super::call::New;

/// [`PoolInfo`] in a message.
#[derive(Serialize, Deserialize)]
pub struct Info(#[serde(with = "PoolInfoFields")] pub PoolInfo);

#[derive(Serialize, Deserialize)]
#[serde(remote = "PoolInfo")]
struct PoolInfoFields {
    version: (u16, u16),
    uuid: [u8; 16],
    block_size: u32,
    sector_size: u32,
    unit_size: u32,
    journal_units: u32,
    pending: u32,
    pending_used: u32,
    generation: u64,
    epoch: u32,
    next_layer: u32,
    layers: u32,
    deleted: u32,
    staged: u32,
    base_sectors: u64,
    heights: (u8, u8, u8),
    merging: Option<(u32, u64)>,
    read_only: bool,
    poisoned: bool,
}

/// [`Space`] in a message.
#[derive(Serialize, Deserialize)]
pub struct Blocks(#[serde(with = "SpaceFields")] pub Space);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Space")]
struct SpaceFields {
    total: u64,
    free: u64,
    guaranteed: u64,
    reserve: u64,
    reclaimable: u64,
}

/// [`Delta`] in a message.
#[derive(Serialize, Deserialize)]
pub struct Owned(#[serde(with = "DeltaFields")] pub Delta);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Delta")]
struct DeltaFields {
    data: u64,
    nodes: u64,
}

/// [`Extent`] in a message.
#[derive(Serialize, Deserialize)]
pub struct Range(#[serde(with = "ExtentFields")] pub Extent);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Extent")]
struct ExtentFields {
    sector: u64,
    count: u64,
    #[serde(with = "ExtentKindFields")]
    kind: ExtentKind,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ExtentKind")]
enum ExtentKindFields {
    Data { sector: u64 },
    Zero,
    Empty,
}

/// [`Merge`] in a message: the layer that was worked on, and what is left of it.
#[derive(Serialize, Deserialize)]
pub struct Step(Option<(u32, u64)>);

impl From<Merge> for Step {
    fn from(merge: Merge) -> Self {
        match merge {
            Merge::Idle => Self(None),
            Merge::Progress { layer, left } => Self(Some((layer.0, left))),
        }
    }
}

impl From<Step> for Merge {
    fn from(step: Step) -> Self {
        step.0.map_or(Self::Idle, |(layer, left)| Self::Progress { layer: LayerId(layer), left })
    }
}

/// [`LayerInfo`] in a message.
#[derive(Serialize, Deserialize)]
pub struct Layer {
    id: u32,
    #[serde(with = "LayerKindFields")]
    kind: LayerKind,
    flags: u32,
    name: String,
    uuid: [u8; 16],
    parent: Option<u32>,
    family: u32,
    children: u32,
    owner: Option<u32>,
    sectors: u64,
    length: u64,
    created: u64,
    reverted_at: Option<u64>,
    reverted_from: Option<u32>,
    delta: Owned,
    description: u16,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LayerKind")]
enum LayerKindFields {
    Volume,
    Snapshot,
    Attachment,
}

impl From<LayerInfo> for Layer {
    fn from(layer: LayerInfo) -> Self {
        Self {
            id: layer.id.0,
            kind: layer.kind,
            flags: layer.flags.bits(),
            name: layer.name.to_string(),
            uuid: layer.uuid,
            parent: layer.parent.map(|id| id.0),
            family: layer.family.0,
            children: layer.children,
            owner: layer.owner.map(|id| id.0),
            sectors: layer.sectors,
            length: layer.length,
            created: layer.created,
            reverted_at: layer.reverted_at,
            reverted_from: layer.reverted_from.map(|id| id.0),
            delta: Owned(layer.delta),
            description: layer.description,
        }
    }
}

impl From<Layer> for LayerInfo {
    fn from(layer: Layer) -> Self {
        Self {
            id: LayerId(layer.id),
            kind: layer.kind,
            flags: LayerFlags::from_bits_truncate(layer.flags),
            name: Name::new(&layer.name).unwrap_or(Name::NONE),
            uuid: layer.uuid,
            parent: layer.parent.map(LayerId),
            family: LayerId(layer.family),
            children: layer.children,
            owner: layer.owner.map(LayerId),
            sectors: layer.sectors,
            length: layer.length,
            created: layer.created,
            reverted_at: layer.reverted_at,
            reverted_from: layer.reverted_from.map(LayerId),
            delta: layer.delta.0,
            description: layer.description,
        }
    }
}

impl From<&Attributes<'_>> for New {
    fn from(attributes: &Attributes<'_>) -> Self {
        Self {
            name: attributes.name.to_owned(),
            uuid: attributes.uuid,
            description: attributes.description.to_owned(),
            time: attributes.time,
        }
    }
}

impl<'a> From<&'a New> for Attributes<'a> {
    fn from(new: &'a New) -> Self {
        Self { name: &new.name, uuid: new.uuid, description: &new.description, time: new.time }
    }
}
