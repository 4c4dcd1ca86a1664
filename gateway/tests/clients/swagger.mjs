// The page with the HTTP calls, in a real browser: it loads from this server alone, a person authorises, tries calls out, and
// sees their answers.
//
//     TOKEN_A=… SERVICE=… node swagger.mjs http://127.0.0.1:8080
//
// Needs Chromium (on Debian: apt-get install chromium).

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { finish, step } from "./steps.mjs";

const require = createRequire(process.env.MUSTER_TEST_CLIENTS ?? import.meta.url);
const { chromium } = require("playwright-core");

const server = process.argv[2]?.replace(/\/$/, "");
const { TOKEN_A: user, SERVICE: service } = process.env;
if (!server || !user || !service) {
  console.error("usage: TOKEN_A=… SERVICE=… node swagger.mjs http://HOST:PORT");
  process.exit(2);
}
const PATIENCE = 30_000;
const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const executablePath = NAMES.map((name) => spawnSync("which", [name]).stdout.toString().trim()).find(Boolean);
assert.ok(executablePath, `none of ${NAMES} is here (on Debian: apt-get install chromium fonts-dejavu-core)`);

const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath, headless: true, args });
const page = await browser.newPage({ viewport: { width: 1280, height: 1600 } });
page.setDefaultTimeout(PATIENCE);
const [elsewhere, complaints] = [[], []];
page.on("request", (request) => {
  const { protocol, origin } = new URL(request.url());
  if (!["data:", "blob:"].includes(protocol) && origin !== server) elsewhere.push(request.url());
});
page.on("pageerror", (error) => complaints.push(error.message));
page.on("console", (line) => {
  // Answers with an error's status are told there, too, and are no complaint of the page.
  if (line.type() === "error" && !line.text().startsWith("Failed to load resource")) complaints.push(line.text());
});

/// Opens a call on the page.
async function open(method, path) {
  const block = page.locator(".opblock", {
    has: page.locator(".opblock-summary-method", { hasText: new RegExp(`^${method}$`) }),
  }).filter({ has: page.locator(`[data-path="${path}"]`) });
  await block.locator(".opblock-summary-control").first().click();
  await block.locator(".try-out__btn").click();
  return block;
}

/// Executes it, and gives the status and the body that are shown.
async function execute(block) {
  await block.locator("button.execute").click();
  const live = block.locator(".live-responses-table .response");
  await live.locator(".response-col_status").first().waitFor();
  const status = Number((await live.locator(".response-col_status").first().textContent()).match(/\d+/)[0]);
  const text = await live.locator(".highlight-code, .microlight").first().textContent();
  return { status, body: JSON.parse(text.slice(text.indexOf("{") < 0 ? text.indexOf("[") : Math.min(...["{", "["].map((c) => text.indexOf(c)).filter((at) => at >= 0)))) };
}

await step("the page shows the calls of every API", async () => {
  await page.goto(`${server}/swagger/`);
  await page.waitForSelector(".swagger-ui .opblock");
  assert.equal(await page.locator(".info .title").first().textContent().then((title) => title.includes("Muster")), true);
  for (const path of ["/api/v1/presence/online-users", "/api/v1/messages", "/server/v1/conversations", "/server/v1/users/{id}"]) {
    assert.ok(await page.locator(`[data-path="${path}"]`).count() > 0, `no ${path}`);
  }
});
await step("without a token a call is refused, and that is shown", async () => {
  const block = await open("POST", "/api/v1/messages");
  await block.locator("textarea.body-param__text").fill(JSON.stringify({ recipientId: "bob", content: "nobody says this" }));
  const { status, body } = await execute(block);
  assert.deepEqual([status, body.statusCode], [401, 401]);
});
await step("a person authorises", async () => {
  await page.locator(".auth-wrapper .authorize").first().click();
  for (const [name, token] of [["userToken", user], ["serviceToken", service]]) {
    const form = page.locator(".auth-container", { hasText: name });
    await form.locator("input").fill(token);
    await form.locator("button.authorize").click();
    await form.locator("button", { hasText: "Logout" }).waitFor();
  }
  await page.locator(".btn-done").first().click();
});
let sent;
await step("a message is sent, and its answer is seen", async () => {
  const block = page.locator(".opblock-post", { has: page.locator('[data-path="/api/v1/messages"]') });
  await block.locator("textarea.body-param__text").fill(JSON.stringify({ recipientId: "bob", content: "Hello from the page 😀" }));
  const { status, body } = await execute(block);
  assert.deepEqual([status, body.content], [201, "Hello from the page 😀"]);
  sent = body;
});
await step("what was sent is read, with a parameter in the path and one in the query", async () => {
  const block = await open("GET", "/api/v1/messages/conversation/{conversationId}");
  await block.locator('tr[data-param-name="conversationId"] input').fill(sent.conversationId);
  await block.locator('tr[data-param-name="limit"] input').fill("5");
  // The page fills in the description's example, which is of another time.
  await block.locator('tr[data-param-name="before"] input').fill("");
  const { status, body } = await execute(block);
  assert.equal(status, 200);
  assert.deepEqual(body.messages.map((message) => message.id), [sent.id]);
});
await step("nothing came from elsewhere, and nothing was complained of", async () => {
  assert.deepEqual(elsewhere, []);
  assert.deepEqual(complaints, []);
});

await browser.close();
finish();
