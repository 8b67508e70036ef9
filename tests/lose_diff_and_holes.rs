//! Diff and holes: what changed is exact, also where something became nothing.

#![allow(clippy::cast_possible_truncation)]

use cowl::{ExtentKind, LayerFlags, LayerId};
use cowl_host::sim::{Config, Rng, SimDisk, apply, mount, random_op, start};
use cowl_tests::{CountedPool, formatted, mounted, named};

fn changed(pool: &mut CountedPool<'_>, a: LayerId, b: LayerId) -> Vec<(u64, u64, bool)> {
    let (mut from, mut ranges) = (0, Vec::new());
    while let Some(extent) = pool.diff(a, b, from).unwrap() {
        ranges.push((extent.sector, extent.count, matches!(extent.kind, ExtentKind::Data { .. })));
        from = extent.sector + extent.count;
    }
    ranges
}

#[test]
fn a_discarded_block_is_a_change_to_nothing() {
    let mut workspace = vec![0; 1 << 20];
    let mut pool = mounted(formatted(4 << 20, &cowl::FormatOptions::new(512, [1; 16])), &mut workspace);
    let volume = pool.create(&named("v"), 1000, LayerFlags::empty()).unwrap();
    pool.write(volume, 10, &[1; 1024]).unwrap();
    let snapshot = pool.snapshot(volume, &named("s")).unwrap();
    assert_eq!(changed(&mut pool, snapshot, volume), []);
    pool.discard(volume, 10, 1).unwrap();
    pool.write(volume, 900, &[2; 512]).unwrap();
    let expected = [(10, 1, false), (900, 1, true)];
    assert_eq!(changed(&mut pool, snapshot, volume), expected, "while it is pending");
    pool.checkpoint().unwrap();
    assert_eq!(changed(&mut pool, snapshot, volume), expected, "and when it is not");
    assert_eq!(changed(&mut pool, volume, snapshot), [(10, 1, true), (900, 1, false)]);
}

#[test]
fn layers_of_different_sizes_are_compared_where_both_are() {
    let mut workspace = vec![0; 1 << 20];
    let mut pool = mounted(formatted(4 << 20, &cowl::FormatOptions::new(512, [1; 16])), &mut workspace);
    let volume = pool.create(&named("v"), 30, LayerFlags::empty()).unwrap();
    pool.write(volume, 3, &[1; 512]).unwrap();
    let snapshot = pool.snapshot(volume, &named("s")).unwrap();
    pool.resize(volume, 5000).unwrap();
    assert_eq!(changed(&mut pool, snapshot, volume), []);
    pool.write(volume, 4000, &[2; 512]).unwrap();
    assert_eq!(changed(&mut pool, snapshot, volume), [(4000, 1, true)]);
    assert_eq!(changed(&mut pool, volume, snapshot), []);
}

#[test]
fn what_diff_does_not_name_is_equal_in_random_histories() {
    for seed in 0..40 {
        let config = Config { sectors: 80, blocks: 3000, pending: 5, ..Config::TINY };
        let disk = SimDisk::new(512, config.device_sectors());
        let mut workspace = config.workspace();
        cowl::Pool::format(disk.clone(), &mut workspace, &config.format()).unwrap();
        let mut pool = mount(disk, &mut workspace).unwrap();
        let mut model = start(&mut pool, &config).unwrap();
        let mut rng = Rng::new(seed);
        for serial in 1..120 {
            apply(&mut pool, &mut model, random_op(&mut rng, 80, serial, false)).unwrap();
        }
        let ids: Vec<u32> = model.now.keys().copied().collect();
        for a in &ids {
            for b in &ids {
                let mut named = std::collections::BTreeSet::new();
                let mut from = 0;
                while let Some(extent) = pool.diff(LayerId(*a), LayerId(*b), from).unwrap() {
                    from = extent.sector + extent.count;
                    named.extend(extent.sector..from);
                }
                let (of_a, of_b) = (&model.now[a].content, &model.now[b].content);
                for (sector, tag) in of_b.iter().enumerate() {
                    let equal = of_a.get(sector).copied().unwrap_or(0) == *tag;
                    let outside = sector >= of_a.len();
                    assert!(
                        equal || outside || named.contains(&(sector as u64)),
                        "seed {seed}: {a} {b} sector {sector}"
                    );
                }
            }
        }
    }
}
