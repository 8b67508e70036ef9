//! The pool's calls, one at a time.

use std::hint::black_box;

use cowl::{BlockDevice, LayerFlags, Merge, MountOptions, Pool, RamDisk};
use cowl_benches::{BLOCK, BLOCKS, Random, SECTORS, deepen, empty_pool, full_pool, hardware, named};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn transfers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("4 KiB at random");
    group.throughput(Throughput::Bytes(BLOCK as u64));
    let mut buffer = [0; BLOCK];
    for depth in [0, 255] {
        let ((mut pool, volume), mut random) = (full_pool(), Random::new());
        deepen(&mut pool, volume, depth);
        group.bench_function(format!("read, {depth} snapshots below"), |bench| {
            bench.iter(|| pool.read(volume, random.sector(), black_box(&mut buffer)));
        });
    }
    // What the disk in memory takes by itself.
    let (mut memory, mut random) = (vec![1; 64 << 20], Random::new());
    let mut disk = RamDisk::new(&mut memory);
    group.bench_function("read, the disk alone", |bench| {
        bench.iter(|| disk.read(random.sector(), black_box(&mut buffer)));
    });
    let ((mut pool, volume), mut random) = (full_pool(), Random::new());
    group.bench_function("overwrite", |bench| {
        bench.iter(|| pool.write(volume, random.sector(), black_box(&[3; BLOCK])));
    });
    group.bench_function("overwrite and flush", |bench| {
        bench.iter(|| pool.write(volume, random.sector(), black_box(&[3; BLOCK])).and_then(|()| pool.flush()));
    });
    group.bench_function("discard and write again", |bench| {
        bench.iter(|| {
            let sector = random.sector();
            pool.discard(volume, sector, SECTORS).and_then(|()| pool.write(volume, sector, black_box(&[4; BLOCK])))
        });
    });
    group.finish();
}

/// Each block of a new volume once, with the checkpoints that fall due.
fn first_writes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a whole volume of 4,096 blocks");
    group.throughput(Throughput::Elements(BLOCKS)).sample_size(20);
    let mut pool = empty_pool();
    group.bench_function("first writes, one flush, delete", |bench| {
        bench.iter(|| {
            let volume = pool.create(&named("volume"), BLOCKS * SECTORS, LayerFlags::empty()).expect("a volume");
            for block in 0..BLOCKS {
                pool.write(volume, block * SECTORS, black_box(&[1; BLOCK])).expect("room");
            }
            pool.flush().expect("a flush");
            pool.delete(volume).expect("a delete");
            pool.merge_all(1 << 16).expect("a merge");
        });
    });
    group.finish();
}

fn layers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layers");
    let (mut pool, volume) = full_pool();
    group.bench_function("snapshot and delete, nothing written between", |bench| {
        bench.iter(|| {
            let snapshot = pool.snapshot(volume, &named("snapshot")).expect("a snapshot");
            pool.delete(snapshot).expect("a delete");
            pool.merge_all(1 << 16).expect("a merge");
        });
    });
    let mut random = Random::new();
    group.bench_function("snapshot, 64 writes, delete, merge", |bench| {
        bench.iter(|| {
            let snapshot = pool.snapshot(volume, &named("snapshot")).expect("a snapshot");
            for _ in 0..64 {
                pool.write(volume, random.sector(), &[5; BLOCK]).expect("room");
            }
            pool.delete(snapshot).expect("a delete");
            while pool.merge_step(64).expect("a step") != Merge::Idle {}
        });
    });
    group.bench_function("roll back to a snapshot", |bench| {
        let snapshot = pool.snapshot(volume, &named("back")).expect("a snapshot");
        bench.iter(|| {
            let volume = pool.find("volume").expect("a lookup").expect("the volume").id;
            pool.rollback(volume, snapshot, 1, None).expect("a rollback");
            pool.merge_all(1 << 16).expect("a merge");
        });
    });
    group.finish();
}

fn mounts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mount");
    for depth in [0, 255] {
        let (mut pool, volume) = full_pool();
        deepen(&mut pool, volume, depth);
        let mut disk = Some(pool.unmount().expect("an end"));
        let mut workspace = vec![0; 4 << 20];
        let options = MountOptions { checksum: hardware, ..MountOptions::default() };
        group.bench_function(format!("{depth} snapshots, an empty journal"), |bench| {
            bench.iter(|| {
                let pool = Pool::mount(disk.take().expect("the disk"), &mut workspace, &options);
                disk = Some(pool.expect("a mount").abandon());
            });
        });
    }
    group.finish();
}

criterion_group!(calls, transfers, first_writes, layers, mounts);
criterion_main!(calls);
