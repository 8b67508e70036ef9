//! Everything that a pool shows, and looking whether it still does.

use cowl::{BlockDevice, Error, Finding, LayerFlags, LayerId, LayerInfo, Pool};

/// An attachment: number, name, bytes.
pub type Attached = (LayerId, String, Vec<u8>);

/// A layer with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its record.
    pub info: LayerInfo,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its description.
    pub description: Vec<u8>,
    /// What is attached to it.
    pub attachments: Vec<Attached>,
}

/// Everything that a pool shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents(pub Vec<Shown>);

/// The pool found damage, and said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detected;

fn bytes<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
    id: LayerId,
    sectors: u64,
) -> Result<Vec<u8>, Error<D::Error>> {
    let mut bytes = vec![0; usize::try_from(sectors).expect("small") * pool.info().sector_size as usize];
    pool.read(id, 0, &mut bytes)?;
    Ok(bytes)
}

impl Contents {
    /// Reads everything.
    ///
    /// # Errors
    /// The pool's.
    pub fn of<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
        pool: &mut Pool<'_, D, B>,
    ) -> Result<Self, Error<D::Error>> {
        let mut all = Vec::new();
        let mut after = None;
        while let Some(info) = pool.next_layer(after)? {
            after = Some(info.id);
            all.push(shown(pool, info)?);
        }
        Ok(Self(all))
    }

    /// Looks whether the pool shows exactly this, as far as it shows anything; what it gives out beside damage must be right.
    /// `allowed` says which other sectors will do.
    ///
    /// # Errors
    /// It reports damage anywhere.
    ///
    /// # Panics
    /// Something is wrong that the pool has not noticed, or an error is none of damage.
    pub fn look<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
        &self,
        pool: &mut Pool<'_, D, B>,
        allowed: Option<&Self>,
    ) -> Result<(), Detected> {
        let mut result = damage(self.list(pool));
        for (i, layer) in self.0.iter().enumerate() {
            let other = allowed.map(|all| &all.0[i]);
            result = result.and(damage(layer.look(pool, other)));
        }
        result
    }

    fn list<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
        &self,
        pool: &mut Pool<'_, D, B>,
    ) -> Result<(), Error<D::Error>> {
        let mut after = None;
        for layer in &self.0 {
            let info = pool.next_layer(after)?;
            assert_eq!(info.map(public), Some(public(layer.info)), "a record is wrong");
            after = Some(layer.info.id);
        }
        assert_eq!(pool.next_layer(after)?.map(|info| info.id), None, "a layer too many");
        Ok(())
    }
}

/// What of a record is the same before and after a merge step or a checkpoint.
fn public(info: LayerInfo) -> LayerInfo {
    LayerInfo { parent: None, children: 0, delta: cowl::Delta::default(), ..info }
}

fn shown<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
    info: LayerInfo,
) -> Result<Shown, Error<D::Error>> {
    let bytes_of_it = bytes(pool, info.id, info.sectors)?;
    let mut description = vec![0; 768];
    let length = pool.description(info.id, &mut description)?;
    description.truncate(length);
    let mut attachments = Vec::new();
    let mut last = None;
    while let Some(attached) = pool.next_attachment(info.id, last)? {
        last = Some(attached.id);
        attachments.push((attached.id, attached.name.to_string(), bytes(pool, attached.id, attached.sectors)?));
    }
    Ok(Shown { info, bytes: bytes_of_it, description, attachments })
}

impl Shown {
    fn look<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
        &self,
        pool: &mut Pool<'_, D, B>,
        allowed: Option<&Self>,
    ) -> Result<(), Error<D::Error>> {
        let size = pool.info().sector_size as usize;
        let seen = bytes(pool, self.info.id, self.info.sectors)?;
        if seen != self.bytes {
            for (at, part) in seen.chunks(size).enumerate() {
                let range = at * size..(at + 1) * size;
                let other = allowed.is_some_and(|other| other.bytes[range.clone()] == *part);
                assert!(other || self.bytes[range] == *part, "{} sector {at} reads {:x?}", self.info.name, &part[..8]);
            }
        }
        let mut description = vec![0; 768];
        let length = pool.description(self.info.id, &mut description)?;
        assert!(description[..length] == self.description, "the description of {} is wrong", self.info.name);
        let mut last = None;
        for (id, name, content) in &self.attachments {
            let found = pool.next_attachment(self.info.id, last)?;
            let found = found.expect("the attachment is there");
            assert_eq!((found.id, found.name.as_str()), (*id, name.as_str()));
            assert!(bytes(pool, *id, found.sectors)? == *content, "attachment {name} is wrong");
            last = Some(*id);
        }
        assert_eq!(pool.next_attachment(self.info.id, last)?, None, "an attachment too many");
        Ok(())
    }
}

/// Damage that was reported; any other error is none that damage may lead to.
///
/// # Errors
/// There was damage.
///
/// # Panics
/// The error is another one.
pub fn damage<T, E: std::fmt::Debug>(result: Result<T, Error<E>>) -> Result<T, Detected> {
    match result {
        Ok(value) => Ok(value),
        Err(Error::Corrupt { .. }) => Err(Detected),
        Err(error) => panic!("damage leads to {error:?}"),
    }
}

/// What `check` finds.
///
/// # Errors
/// The pool's.
pub fn findings<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
) -> Result<Vec<Finding>, Error<D::Error>> {
    let mut found = Vec::new();
    pool.check(&mut [0; 1024], true, &mut |finding| found.push(*finding))?;
    Ok(found)
}

/// Whether the finding is about a spare copy of the superblock only.
pub fn is_spare_copy(finding: &Finding) -> bool {
    matches!(finding, Finding::SuperblockCopy { .. })
}

/// Sectors of the device with data that has no checksum.
///
/// # Errors
/// The pool's.
pub fn unchecked_data<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
) -> Result<Vec<u64>, Error<D::Error>> {
    let mut sectors = Vec::new();
    let mut after = None;
    while let Some(info) = pool.next_record(after)? {
        after = Some(info.id);
        if info.flags.intersects(LayerFlags::DELETED | LayerFlags::INTEGRITY) {
            continue;
        }
        let mut at = 0;
        while at < info.sectors {
            let extent = pool.extent(info.id, at)?;
            if let cowl::ExtentKind::Data { sector } = extent.kind {
                sectors.extend(sector..sector + extent.count);
            }
            at += extent.count;
        }
    }
    Ok(sectors)
}
