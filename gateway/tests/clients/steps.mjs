// What a browser is led through, step by step: the first step that fails is the last.

let failed = 0;

/** Takes a step, unless an earlier one has failed. */
export async function step(name, body) {
  if (failed) return;
  try {
    await body();
    console.log(`ok ${name}`);
  } catch (error) {
    failed = 1;
    console.log(`FAIL ${name}: ${error.message.replace(/\s*\n\s*/g, " ")}`);
  }
}

/** Says how it went, and ends the program. */
export function finish() {
  console.log(failed ? "failed" : "all passed");
  process.exit(failed);
}
