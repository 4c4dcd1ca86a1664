//! Lists of operations on machines: whatever people, links and stores do, every promise is kept.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|operations: &[u8]| sim::run_operations(operations));
