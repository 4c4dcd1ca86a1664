// Cases and how they are run: one line each, `ok NAME` or `FAIL NAME: why`, and an exit code.

const cases = [];

/** A case of this program. */
export function test(name, body) {
  cases.push({ name, body });
}

/** No case takes longer; one that hangs has failed. */
const LIMIT = 20_000;

/** How often a case is tried while the machine stands still. */
const TRIES = 12;

/**
 * Runs the cases that `filter` (a word of their names) keeps, some at the same time; the exit code. With a `pulse`, a
 * case that failed while the machine stood still is tried again.
 */
export async function runAll({ together = 1, filter = process.env.ONLY, limit = LIMIT, pulse } = {}) {
  const waiting = cases.filter(({ name }) => !filter || name.includes(filter));
  let failed = 0;
  async function runner() {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      for (let left = TRIES; left > 0; left -= 1) {
        const began = performance.now();
        try {
          const note = await within(next.body(), limit, "the case");
          console.log(`ok ${next.name}${note ? ` (${note})` : ""}`);
          break;
        } catch (error) {
          if (left > 1 && pulse?.stalledSince(began)) continue;
          failed += 1;
          const why = error?.stack && process.env.STACKS ? error.stack : (error?.message ?? String(error));
          console.log(`FAIL ${next.name}: ${why.replace(/\s*\n\s*/g, " ")}`);
          break;
        }
      }
    }
  }
  await Promise.all(Array.from({ length: together }, runner));
  pulse?.end();
  console.log(failed === 0 ? "all passed" : `${failed} failed`);
  return failed === 0 ? 0 : 1;
}

/** What a promise gives, or a failure when it takes too long. */
export async function within(promise, ms, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} takes longer than ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until a condition holds, or fails. */
export async function until(condition, what, ms = 10_000) {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${typeof what === "function" ? what() : what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
