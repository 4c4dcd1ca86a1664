//! Configuration files: no text makes the parser panic, and every problem names the file.

#![no_main]

use gateway::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = Config::from_toml("fuzz.toml", text) {
        let told = error.to_string();
        assert!(told.contains("fuzz.toml"), "{told}");
    }
});
