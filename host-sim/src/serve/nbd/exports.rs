//! Which layers are served under which names.

use std::{collections::BTreeMap, sync::Arc};

use cowl::{Error, LayerId, LayerInfo, LayerKind};

use super::{
    codec::Errno,
    export::{Backend, Export},
};
use crate::serve::shared::Outcome;

/// Bytes that a layer's description has at most.
const DESCRIPTION: usize = 1024;

/// The names under which layers are served: their own, and others that were asked for.
#[derive(Debug)]
pub struct Exports {
    backend: Arc<Backend>,
    aliases: BTreeMap<String, LayerId>,
    read_only: bool,
}

impl Exports {
    /// All layers of the pool, and further names for some.
    pub fn new(backend: Arc<Backend>, aliases: BTreeMap<String, LayerId>, read_only: bool) -> Self {
        Self { backend, aliases, read_only }
    }

    /// What all exports share.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// The layer of a name. The empty name stands for the only volume, if there is just one.
    ///
    /// # Errors
    /// The pool's.
    pub fn find(&self, name: &str) -> Outcome<Option<LayerId>> {
        if let Some(layer) = self.aliases.get(name) {
            return Ok(Some(*layer));
        }
        if name.is_empty() {
            return self.only_volume();
        }
        Ok(self.backend.shared.look(|pool| pool.find(name))?.map(|found| found.id))
    }

    /// Every name, and the layer that it stands for, until `found` has seen enough.
    ///
    /// # Errors
    /// The pool's.
    pub fn each(&self, found: &mut dyn FnMut(&str, LayerId) -> bool) -> Outcome<()> {
        if !self.aliases.iter().all(|(name, layer)| found(name, *layer)) {
            return Ok(());
        }
        self.each_layer(&mut |layer| self.aliases.contains_key(&*layer.name) || found(&layer.name, layer.id))
    }

    /// A layer for a client; `None` if it is gone.
    ///
    /// # Errors
    /// The pool's.
    pub fn open(&self, layer: LayerId) -> Result<Option<Export>, Errno> {
        let asked = self.backend.shared.look(|pool| Ok((pool.layer(layer)?, pool.info())));
        let (found, about) = match asked {
            Ok(found) => found,
            Err(Error::NoSuchLayer(_)) => return Ok(None),
            Err(error) => return Err(super::export::errno(&error)),
        };
        let sector = u64::from(about.sector_size);
        Ok(Some(Export {
            backend: Arc::clone(&self.backend),
            layer,
            size: found.sectors * sector,
            sector,
            block: about.block_size,
            base_end: about.base_sectors * sector,
            read_only: self.read_only || about.read_only || found.kind != LayerKind::Volume,
        }))
    }

    /// What was said of a layer when it was made.
    pub fn description(&self, layer: LayerId) -> String {
        let said = self.backend.shared.look(|pool| {
            let mut bytes = [0; DESCRIPTION];
            let length = pool.description(layer, &mut bytes)?;
            Ok(String::from_utf8_lossy(bytes.get(..length).unwrap_or(&[])).into_owned())
        });
        // A layer that has gone meanwhile says nothing.
        said.unwrap_or_default()
    }

    fn only_volume(&self) -> Outcome<Option<LayerId>> {
        let (mut only, mut count) = (None, 0);
        self.each_layer(&mut |layer| {
            if layer.kind == LayerKind::Volume {
                only = Some(layer.id);
                count += 1;
            }
            count < 2
        })?;
        Ok(only.filter(|_| count == 1))
    }

    /// Layers one after the other until `found` has seen enough; the pool is held for one at a time.
    fn each_layer(&self, found: &mut dyn FnMut(&LayerInfo) -> bool) -> Outcome<()> {
        let mut after = None;
        loop {
            let next = self.backend.shared.look(|pool| pool.next_layer(after))?;
            let Some(layer) = next else { return Ok(()) };
            if !found(&layer) {
                return Ok(());
            }
            after = Some(layer.id);
        }
    }
}
