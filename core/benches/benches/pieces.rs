//! What the calls are made of: checksums and codecs.

use std::hint::black_box;

use cowl::format::{Entry, Layer, Superblock};
use cowl_benches::{BLOCK, hardware};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn checksums(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("CRC-32C of 4 KiB");
    group.throughput(Throughput::Bytes(BLOCK as u64));
    let block = [0x5a; BLOCK];
    group.bench_function("software, large table", |bench| bench.iter(|| cowl::crc32c(0, black_box(&block))));
    group.bench_function("hardware", |bench| bench.iter(|| hardware(0, black_box(&block))));
    group.finish();
}

fn codecs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codecs");
    let entry = Entry { block: 77, birth: 5, crc: 9, ..Entry::EMPTY };
    let mut node = [0; BLOCK];
    group.bench_function("encode a node of 256 entries", |bench| {
        bench.iter(|| (0..BLOCK).step_by(Entry::SIZE).for_each(|at| entry.encode(black_box(&mut node), at)));
    });
    group.bench_function("decode a node of 256 entries", |bench| {
        bench.iter(|| {
            let blocks = (0..BLOCK).step_by(Entry::SIZE).map(|at| Entry::decode(black_box(&node), at).block);
            blocks.sum::<u64>()
        });
    });
    let mut record = [0; 256];
    Layer { id: 1, height: 1, ..Layer::FREE }.encode(&mut record);
    group.bench_function("decode a layer's record", |bench| bench.iter(|| Layer::decode(black_box(&record))));
    let block = [0; BLOCK];
    group.bench_function("refuse what is no superblock", |bench| {
        bench.iter(|| Superblock::decode(black_box(&block), hardware));
    });
    group.finish();
}

criterion_group!(pieces, checksums, codecs);
criterion_main!(pieces);
