//! What each layer costs when it has nothing to do, beside the bare service: `cargo bench --bench layers`.

mod scenes;

use criterion::{Criterion, criterion_group, criterion_main};

fn layers(criterion: &mut Criterion) {
    scenes::measure(
        criterion,
        "layers",
        &["bare", "hold", "cache", "cache-post", "purge", "publish", "all"],
    );
}

criterion_group!(benches, layers);
criterion_main!(benches);
