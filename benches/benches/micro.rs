//! Nanoseconds of the small pieces: `cargo bench -p muster-benches`; with `-- seats` only those of that room.

/// Allocates as the server does.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    divan::main();
}

macro_rules! benchmarks {
    ($($room:ident { $($name:ident $units:literal $what:literal;)+ })+) => {
        $(mod $room {
            use divan::Bencher;
            use divan::counter::ItemsCount;

            $(#[divan::bench]
            fn $name(bencher: Bencher<'_, '_>) {
                let call = benches::micro::$room::$name().expect("a test makes every case ready");
                bencher.counter(ItemsCount::new($units as u64)).bench_local(call);
            })+
        })+
    };
}

benches::each_case!(benchmarks);
