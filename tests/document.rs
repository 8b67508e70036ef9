//! FORMAT.md against the code: every table of offsets, field by field, and the places of the objects on a real device.
//!
//! Each field is given a value of its own and the object is encoded: just the bytes that the document names must change, to just that
//! value. So neither the document nor the code can move a field alone.

use cowl::{
    Attributes, ExtentKind, FormatOptions, LayerFlags, LayerKind, MountOptions, Name, Pool, crc32c,
    format::{
        BaseIdentity, Entry, EntryFlags, Label, Layer, LayerView, MAGIC, MergeMode, MergeState, RECORD_SIZE, Record,
        SPARES, SUPERBLOCK_SIZE, SpaceEntry, Spares, State, Superblock, UNIT_HEADER, Unit, VERSION,
    },
};
use cowl_tests::{SparseDisk, edit::Image, named};

const DOCUMENT: &str = include_str!("../core/docs/FORMAT.md");

/// A row of a table: where a field is.
#[derive(Debug, Clone)]
struct Row {
    offset: usize,
    size: usize,
    field: String,
    text: String,
}

/// The tables of offsets, in the order of the document.
fn tables() -> Vec<Vec<Row>> {
    let mut tables: Vec<Vec<Row>> = Vec::new();
    let mut inside = false;
    for line in DOCUMENT.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        match cells.as_slice() {
            ["", "offset", "size", "field", ""] => {
                tables.push(Vec::new());
                inside = true;
            }
            ["", rule, ..] if rule.starts_with("---") => {}
            ["", offset, size, text, ""] if inside => {
                let field = text.split([':', ' ']).next().unwrap().to_owned();
                let field = if text.starts_with("must be zero") { "must be zero".to_owned() } else { field };
                let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{line}"));
                let row = Row { offset: number(offset), size: number(size), field, text: (*text).to_owned() };
                tables.last_mut().unwrap().push(row);
            }
            _ => inside = false,
        }
    }
    tables
}

fn table(number: usize) -> Vec<Row> {
    let tables = tables();
    assert_eq!(tables.len(), 6, "superblock, entry, space entry, unit, record, layer");
    tables[number].clone()
}

/// An object with one thing changed: its bytes, and what each field that changed must hold.
struct Case {
    encoded: Vec<u8>,
    fields: Vec<(&'static str, Vec<u8>)>,
}

/// Rows of a table, the same object without anything in it, and fields that are not set but follow: fixed ones and the checksum.
struct Object {
    rows: Vec<Row>,
    blank: Vec<u8>,
    fixed: Vec<(&'static str, Vec<u8>)>,
    sum: Option<&'static str>,
}

impl Object {
    fn row(&self, field: &str) -> &Row {
        self.rows.iter().find(|row| row.field == field).unwrap_or_else(|| panic!("the document has no field {field}"))
    }

    /// The document leaves no byte out and names none twice.
    fn covers(&self, size: usize) {
        let mut at = 0;
        for row in &self.rows {
            assert_eq!(row.offset, at, "{row:?}");
            at += row.size;
        }
        assert_eq!(at, size);
    }

    fn compare(&self, cases: &[Case]) {
        for (field, bytes) in &self.fixed {
            let row = self.row(field);
            assert_eq!(&self.blank[row.offset..row.offset + row.size], bytes, "{row:?}");
        }
        for row in &self.rows {
            let fixed = self.fixed.iter().any(|(field, _)| *field == row.field) || self.sum == Some(row.field.as_str());
            let set = cases.iter().any(|case| case.fields.iter().any(|(field, _)| *field == row.field));
            assert!(fixed || set || row.field == "must be zero", "the code does not know {row:?}");
            if row.field == "must be zero" {
                assert!(self.blank[row.offset..row.offset + row.size].iter().all(|byte| *byte == 0), "{row:?}");
            }
        }
        for case in cases {
            self.compare_one(case);
        }
    }

    fn compare_one(&self, case: &Case) {
        for (field, bytes) in &case.fields {
            assert_eq!(self.row(field).size, bytes.len(), "{field}");
        }
        for row in &self.rows {
            let range = row.offset..row.offset + row.size;
            if self.sum == Some(row.field.as_str()) {
                let mut without = case.encoded.clone();
                without[range.clone()].fill(0);
                assert_eq!(case.encoded[range], crc32c(0, &without).to_le_bytes(), "{row:?}");
                continue;
            }
            let set = case.fields.iter().find(|(field, _)| *field == row.field);
            let expected = set.map_or(&self.blank[range.clone()], |(_, bytes)| bytes);
            assert_eq!(&case.encoded[range], expected, "{row:?}");
        }
    }
}

/// The lowest bytes of a number in which no byte is like another.
fn pattern<const N: usize>() -> [u8; N] {
    core::array::from_fn(|i| 0x11 * (u8::try_from(i).unwrap() + 1))
}

fn p16() -> u16 {
    u16::from_le_bytes(pattern())
}

fn p32() -> u32 {
    u32::from_le_bytes(pattern())
}

fn p48() -> u64 {
    let [a, b, c, d, e, f] = pattern();
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

fn p64() -> u64 {
    u64::from_le_bytes(pattern())
}

fn entry() -> Entry {
    Entry { block: p48(), flags: EntryFlags::ZERO, birth: p32(), crc: 0x8765_4321 }
}

fn entry_bytes(entry: &Entry) -> Vec<u8> {
    let mut bytes = vec![0; Entry::SIZE];
    entry.encode(&mut bytes, 0);
    bytes
}

/// A superblock with nothing in it; every number is 0, although no pool has such a one.
fn blank_superblock() -> Superblock {
    Superblock {
        version: (0, 0),
        uuid: [0; 16],
        compatible: 0,
        read_only_compatible: 0,
        incompatible: 0,
        block_shift: 0,
        sector_shift: 0,
        unit_shift: 0,
        journal_units: 0,
        pending: 0,
        base: BaseIdentity::default(),
        state: State {
            generation: 0,
            total: 0,
            epoch: 0,
            next_layer: 0,
            space: SpaceEntry::default(),
            catalog: Entry::EMPTY,
            catalog_height: 0,
            max_height: 0,
            free: 0,
            guaranteed: 0,
            reclaimable: 0,
            cursor: 0,
            merge: MergeState::default(),
            hint: 0,
            layers: 0,
            deleted: 0,
            staged: 0,
        },
        spares: Spares::default(),
    }
}

#[test]
fn the_superblock_is_as_the_document_says() {
    let encode = |superblock: &Superblock, slot: u8| {
        let mut bytes = vec![0xff; SUPERBLOCK_SIZE];
        superblock.encode(&mut bytes, slot, crc32c);
        bytes
    };
    let blank = blank_superblock();
    let object =
        Object { rows: table(0), blank: encode(&blank, 0), fixed: vec![("magic", MAGIC.to_vec())], sum: Some("crc") };
    object.covers(SUPERBLOCK_SIZE);
    let case = |field: &'static str, bytes: &[u8], change: &dyn Fn(&mut Superblock)| {
        let mut superblock = blank;
        change(&mut superblock);
        Case { encoded: encode(&superblock, 0), fields: vec![(field, bytes.to_vec())] }
    };
    let (two, four, six, eight) = (pattern::<2>(), pattern::<4>(), pattern::<6>(), pattern::<8>());
    let mut space = vec![0; 16];
    let root = SpaceEntry { free: p48(), copy: 1, generation: p48() >> 1, crc: p32() };
    root.encode(&mut space, 0);
    let mut spares = vec![0; 6 * SPARES];
    spares[..6].copy_from_slice(&six);
    spares[6..12].copy_from_slice(&[9, 0, 0, 0, 0, 0]);
    let mut cases = vec![
        case("major", &two, &|sb| sb.version.0 = p16()),
        case("minor", &two, &|sb| sb.version.1 = p16()),
        case("uuid", &pattern::<15>().iter().chain(&[7]).copied().collect::<Vec<u8>>(), &|sb| {
            sb.uuid[..15].copy_from_slice(&pattern::<15>());
            sb.uuid[15] = 7;
        }),
        case("generation", &eight, &|sb| sb.generation = p64()),
        case("compatible", &four, &|sb| sb.compatible = p32()),
        case("read_only_compatible", &four, &|sb| sb.read_only_compatible = p32()),
        case("incompatible", &four, &|sb| sb.incompatible = p32()),
        case("block_shift", &[12], &|sb| sb.block_shift = 12),
        case("sector_shift", &[9], &|sb| sb.sector_shift = 9),
        case("unit_shift", &[10], &|sb| sb.unit_shift = 10),
        case("total", &eight, &|sb| sb.total = p64()),
        case("journal_units", &four, &|sb| sb.journal_units = p32()),
        case("pending", &four, &|sb| sb.pending = p32()),
        case("epoch", &four, &|sb| sb.epoch = p32()),
        case("next_layer", &four, &|sb| sb.next_layer = p32()),
        case("space", &space, &|sb| sb.space = root),
        case("catalog", &entry_bytes(&entry()), &|sb| sb.catalog = entry()),
        case("catalog_height", &[3], &|sb| sb.catalog_height = 3),
        case("max_height", &[4], &|sb| sb.max_height = 4),
        case("free", &eight, &|sb| sb.free = p64()),
        case("guaranteed", &eight, &|sb| sb.guaranteed = p64()),
        case("reclaimable", &eight, &|sb| sb.reclaimable = p64()),
        case("cursor", &eight, &|sb| sb.cursor = p64()),
        case("merge_layer", &four, &|sb| sb.merge.layer = p32()),
        case("merge_mode", &[1], &|sb| sb.merge.mode = MergeMode::Merge),
        case("merge_mode", &[2], &|sb| sb.merge.mode = MergeMode::Trim),
        case("merge_front", &eight, &|sb| sb.merge.front = p64()),
        case("merge_limit", &four, &|sb| sb.merge.limit = p32()),
        case("hint", &four, &|sb| sb.hint = p32()),
        case("layers", &four, &|sb| sb.layers = p32()),
        case("deleted", &four, &|sb| sb.deleted = p32()),
        case("staged", &four, &|sb| sb.staged = p32()),
        case("base_sectors", &eight, &|sb| sb.base.sectors = p64()),
        case("base_fingerprint", &four, &|sb| sb.base.fingerprint = p32()),
    ];
    cases.push(Case { encoded: encode(&blank, 3), fields: vec![("slot", vec![3])] });
    let mut with_spares = case("spares", &spares, &|sb| sb.spares = [p48(), 9].into_iter().collect());
    with_spares.fields.push(("spare_count", vec![2]));
    cases.push(with_spares);
    object.compare(&cases);
    assert!(object.row("major").text.ends_with(&format!(": {}", VERSION.0)));
    assert!(object.row("minor").text.ends_with(&format!(": {}", VERSION.1)));
    assert!(object.row("spare_count").text.ends_with(&format!("0 to {SPARES}")));
}

#[test]
fn an_entry_is_as_the_document_says() {
    let object = Object { rows: table(1), blank: vec![0; 16], fixed: Vec::new(), sum: None };
    object.covers(Entry::SIZE);
    let case = |field, bytes: &[u8], entry: Entry| Case {
        encoded: entry_bytes(&entry),
        fields: vec![(field, bytes.to_vec())],
    };
    object.compare(&[
        case("block", &pattern::<6>(), Entry { block: p48(), ..Entry::EMPTY }),
        case("flags", &[1, 0], Entry::ZERO),
        case("birth", &pattern::<4>(), Entry { birth: p32(), ..Entry::EMPTY }),
        case("crc", &pattern::<4>(), Entry { crc: p32(), ..Entry::EMPTY }),
    ]);
}

#[test]
fn an_entry_of_the_space_map_is_as_the_document_says() {
    let object = Object { rows: table(2), blank: vec![0; 16], fixed: Vec::new(), sum: None };
    object.covers(16);
    let case = |fields: &[(&'static str, &[u8])], entry: SpaceEntry| {
        let mut encoded = vec![0; 16];
        entry.encode(&mut encoded, 0);
        assert_eq!(SpaceEntry::decode(&encoded, 0), entry);
        Case { encoded, fields: fields.iter().map(|(field, bytes)| (*field, bytes.to_vec())).collect() }
    };
    let empty = SpaceEntry::default();
    object.compare(&[
        case(&[("free", &pattern::<6>())], SpaceEntry { free: p48(), ..empty }),
        case(&[("copy", &[1, 0])], SpaceEntry { copy: 1, ..empty }),
        case(&[("generation", &pattern::<4>())], SpaceEntry { generation: p32().into(), ..empty }),
        // The higher bits of the generation lie above the copy.
        case(&[("copy", &[2, 0])], SpaceEntry { generation: 1 << 32, ..empty }),
        case(&[("copy", &[0xff, 0xff])], SpaceEntry { copy: 1, generation: ((1 << 15) - 1) << 32, ..empty }),
        case(&[("crc", &pattern::<4>())], SpaceEntry { crc: p32(), ..empty }),
    ]);
}

#[test]
fn a_unit_and_its_records_are_as_the_document_says() {
    let encode = |unit: Unit, record: &Record| {
        let mut bytes = vec![0; 80];
        record.encode(&mut bytes, UNIT_HEADER);
        unit.seal(&mut bytes, crc32c);
        bytes
    };
    let (unit, none) = (Unit { uuid: [0; 16], generation: 0, sequence: 0, mark: 0, count: 0 }, Record::default());
    let object = Object {
        rows: table(3),
        blank: encode(unit, &none),
        fixed: vec![("magic", b"CWLJ".to_vec())],
        sum: Some("crc"),
    };
    object.covers(UNIT_HEADER + Record::SIZE);
    let record = Record { layer: p32(), address: p64(), entry: entry(), crc: 5 };
    let mut record_bytes = vec![0; Record::SIZE];
    record.encode(&mut record_bytes, 0);
    let case = |field, bytes: &[u8], unit: Unit, record: &Record| Case {
        encoded: encode(unit, record),
        fields: vec![(field, bytes.to_vec())],
    };
    object.compare(&[
        case("uuid", &[3; 16], Unit { uuid: [3; 16], ..unit }, &none),
        case("generation", &pattern::<8>(), Unit { generation: p64(), ..unit }, &none),
        case("sequence", &pattern::<4>(), Unit { sequence: p32(), ..unit }, &none),
        case("mark", &pattern::<4>(), Unit { mark: p32(), ..unit }, &none),
        case("count", &pattern::<2>(), Unit { count: p16(), ..unit }, &none),
        case("record", &record_bytes, unit, &record),
    ]);

    let object = Object { rows: table(4), blank: vec![0; Record::SIZE], fixed: Vec::new(), sum: None };
    object.covers(Record::SIZE);
    let case = |field, bytes: &[u8], record: Record| {
        let mut encoded = vec![0; Record::SIZE];
        record.encode(&mut encoded, 0);
        Case { encoded, fields: vec![(field, bytes.to_vec())] }
    };
    object.compare(&[
        case("entry", &entry_bytes(&entry()), Record { entry: entry(), ..none }),
        case("address", &pattern::<8>(), Record { address: p64(), ..none }),
        case("layer", &pattern::<4>(), Record { layer: p32(), ..none }),
        case("crc", &pattern::<4>(), Record { crc: p32(), ..none }),
    ]);
}

#[test]
fn a_record_of_the_catalog_is_as_the_document_says() {
    let encode = |layer: &Layer, label: &Label| {
        let mut bytes = vec![0; RECORD_SIZE];
        layer.encode(&mut bytes);
        label.encode(&mut bytes);
        bytes
    };
    let (blank, none) = (Layer { height: 0, ..Layer::FREE }, Label::NONE);
    let object = Object { rows: table(5), blank: encode(&blank, &none), fixed: Vec::new(), sum: None };
    object.covers(RECORD_SIZE);
    let case = |field: &'static str, bytes: &[u8], layer: Layer| Case {
        encoded: encode(&layer, &none),
        fields: vec![(field, bytes.to_vec())],
    };
    let said = |field: &'static str, bytes: &[u8], label: Label| Case {
        encoded: encode(&blank, &label),
        fields: vec![(field, bytes.to_vec())],
    };
    let (four, eight) = (pattern::<4>(), pattern::<8>());
    let name = "n".repeat(63);
    let mut named = said("name", name.as_bytes(), Label { name: Name::new(&name).unwrap(), ..none });
    named.fields.push(("name_length", vec![63]));
    object.compare(&[
        case("id", &four, Layer { id: p32(), ..blank }),
        case("kind", &[1], Layer { kind: LayerKind::Snapshot, ..blank }),
        case("kind", &[2], Layer { kind: LayerKind::Attachment, ..blank }),
        named,
        case("height", &[7], Layer { height: 7, ..blank }),
        case("flags", &four, Layer { flags: LayerFlags::from_bits_retain(p32()), ..blank }),
        case("epoch", &four, Layer { epoch: p32(), ..blank }),
        said("uuid", &[3; 16], Label { uuid: [3; 16], ..none }),
        case("root", &entry_bytes(&entry()), Layer { root: entry(), ..blank }),
        case("parent", &four, Layer { parent: p32(), ..blank }),
        case("parent_epoch", &four, Layer { parent_epoch: p32(), ..blank }),
        case("family", &four, Layer { family: p32(), ..blank }),
        case("children", &four, Layer { children: p32(), ..blank }),
        case("child_xor", &four, Layer { child_xor: p32(), ..blank }),
        case("owner", &four, Layer { owner: p32(), ..blank }),
        case("first_attachment", &four, Layer { first_attachment: p32(), ..blank }),
        case("next_attachment", &four, Layer { next_attachment: p32(), ..blank }),
        case("sectors", &eight, Layer { sectors: p64(), ..blank }),
        case("data", &eight, Layer { data: p64(), ..blank }),
        case("nodes", &eight, Layer { nodes: p64(), ..blank }),
        said("created", &eight, Label { created: p64(), ..none }),
        said("reverted_at", &eight, Label { reverted_at: p64(), ..none }),
        said("reverted_from", &four, Label { reverted_from: p32(), ..none }),
        said("description", &pattern::<2>(), Label { description: p16(), ..none }),
        said("mount", &four, Label { mount: p32(), ..none }),
        said("length", &eight, Label { length: p64(), ..none }),
    ]);
    for (name, flag) in LayerFlags::all().iter_names() {
        let text = format!("{} {name}", flag.bits().trailing_zeros());
        assert!(object.row("flags").text.contains(&text), "{text}");
    }
}

#[test]
fn the_objects_lie_where_the_document_says() {
    let mut disk = SparseDisk::new(512, 9000 * 512);
    let mut workspace = vec![0; 1 << 16];
    let options = FormatOptions { journal_units: 3, ..FormatOptions::new(512, [1; 16]) };
    Pool::format(&mut disk, &mut workspace, &options).unwrap();
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let text = "described ".repeat(70);
    let attributes = Attributes { description: &text, ..named("volume") };
    let volume = pool.create(&attributes, 40, LayerFlags::empty()).unwrap();
    pool.write(volume, 33, &[1; 512]).unwrap();
    pool.checkpoint().unwrap();
    let ExtentKind::Data { sector: used } = pool.extent(volume, 33).unwrap().kind else { panic!("data") };
    pool.write(volume, 34, &[2; 512]).unwrap();
    pool.flush().unwrap();
    pool.write(volume, 35, &[2; 512]).unwrap();
    pool.flush().unwrap();
    let mut image = Image::new(disk);
    let superblock = image.superblock;

    // Superblocks: an even generation in slots 0 and 1, an odd one in 2 and 3.
    for slot in 0..4u8 {
        let bytes = image.block(slot.into());
        let found = Superblock::decode(&bytes, crc32c).unwrap();
        assert_eq!((bytes[55], found.generation % 2), (slot, u64::from(slot / 2)));
    }
    // Units: number s at byte 4 x block size + (s - 1) x unit.
    for sequence in 1..=2u8 {
        let unit = Unit::decode(&image.block(4 + u64::from(sequence) - 1), crc32c).unwrap();
        let expected = (u32::from(sequence), u32::from(sequence) - 1, superblock.generation);
        assert_eq!((unit.sequence, unit.mark, unit.generation), expected);
    }
    // The space map: base(0) = 4 + J, two places for each level; a set bit is a used block.
    assert_eq!(image.layout().levels(), 1);
    let root = image.block(4 + 3 + 2 + u64::from(superblock.space.copy));
    assert_eq!(crc32c(0, &root), superblock.space.crc);
    let below = SpaceEntry::decode(&root, 0);
    let bitmap = image.block(4 + 3 + u64::from(below.copy));
    assert_eq!(crc32c(0, &bitmap), below.crc);
    let is_used = |block: u64| bitmap[usize::try_from(block / 8).unwrap()] & (1 << (block % 8)) != 0;
    let fixed = image.layout().fixed_in_group(0);
    assert!((0..fixed).all(is_used) && is_used(used) && !is_used(4095));
    let free = (0..4096).filter(|block| !is_used(*block)).count();
    assert_eq!(u64::try_from(free), Ok(below.free));
    // The catalog: slot 1 from byte 1024 of the pages on, the description at byte 256 of it.
    let mut pages = Vec::new();
    assert_eq!(superblock.catalog_height, 1);
    let node = image.block(superblock.catalog.block);
    assert_eq!(crc32c(0, &node), superblock.catalog.crc);
    for page in 0..4 {
        let entry = Entry::decode(&node, page * Entry::SIZE);
        pages.extend(if entry.is_block() { image.block(entry.block) } else { [0; 512] });
    }
    let record = Layer::decode(&pages[1024..]).unwrap();
    let label = LayerView::new(&pages[1024..]).label();
    assert_eq!((record.id, label.name.as_str(), usize::from(label.description)), (1, "volume", text.len()));
    assert_eq!(&pages[1024 + 256..][..text.len()], text.as_bytes());
    // The map: address 33 is entry 1 of the highest node, entry 1 of the one below.
    let node = image.block(record.root.block);
    let lowest = image.block(Entry::decode(&node, Entry::SIZE).block);
    assert_eq!(Entry::decode(&lowest, Entry::SIZE).block, used);
}
