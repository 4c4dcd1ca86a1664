//! The committed code is what `flatc` makes of `muster.fbs` today.

use std::path::Path;
use std::process::Command;

const FIX: &str = "run schema/generate.sh and commit schema/src/generated (it needs python3 with pip)";

#[test]
fn generated_code_is_fresh() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("generated");
    let run = Command::new("sh").arg(here.join("generate.sh")).arg(&out).output();
    let run = run.unwrap_or_else(|error| panic!("generate.sh did not start: {error}; {FIX}"));
    assert!(run.status.success(), "{}\n{FIX}", String::from_utf8_lossy(&run.stderr));
    let name = "muster_generated.rs";
    let read = |path: &Path| {
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}; {FIX}", path.display()))
    };
    let (fresh, committed) = (read(&out.join(name)), read(&here.join("src/generated").join(name)));
    assert!(fresh == committed, "schema/src/generated/{name} is not what muster.fbs says; {FIX}");
}
