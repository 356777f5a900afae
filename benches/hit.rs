//! A cache hit through the layer, its body read to the end: `cargo bench --bench hit`.

mod scenes;

use criterion::{Criterion, criterion_group, criterion_main};

fn hit(criterion: &mut Criterion) {
    scenes::measure(
        criterion,
        "hit",
        &["hit-1k", "hit-1m", "hit-1m-pieces", "hold-hit-1k", "all-hit-1k"],
    );
}

criterion_group!(benches, hit);
criterion_main!(benches);
