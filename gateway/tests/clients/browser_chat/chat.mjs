// Two real browsers chat through a page that uses socket.io-client as npm has it; what is checked is what the page shows.
//
//     SECRET=… node chat.mjs http://127.0.0.1:8080
//
// Needs Chromium (on Debian: apt-get install chromium). OFFLINE_WITHIN: seconds until a user who left must be offline (7).

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { rest, someone, token } from "../socketio/people.mjs";
import { finish, step } from "../steps.mjs";

const require = createRequire(process.env.MUSTER_TEST_CLIENTS ?? import.meta.url);
const { chromium } = require("playwright-core");

const server = process.argv[2]?.replace(/\/$/, "");
if (!server || !process.env.SECRET) {
  console.error("usage: SECRET=… node chat.mjs http://HOST:PORT");
  process.exit(2);
}
const OFFLINE = 1000 * Number(process.env.OFFLINE_WITHIN ?? 7) + 10_000;
const PATIENCE = 20_000;
const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const executablePath = NAMES.map((name) => spawnSync("which", [name]).stdout.toString().trim()).find(Boolean);
assert.ok(executablePath, `none of ${NAMES} is here (on Debian: apt-get install chromium fonts-dejavu-core)`);

const files = {
  "/": ["text/html", readFileSync(new URL("page.html", import.meta.url))],
  "/socket.io.min.js": ["text/javascript", readFileSync(join(dirname(require.resolve("sio-4.8.4")), "../../dist/socket.io.min.js"))],
};
const pages = createServer(({ url }, response) => {
  const file = files[url];
  if (!file) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": file[0] }).end(file[1]);
});
await new Promise((resolve) => pages.listen(0, "127.0.0.1", resolve));

const [ann, bob] = ["ann", "bob"].map(someone);
const { id: conversation } = await rest(server, ann, "POST", "/api/v1/conversations", { participantIds: [bob], conversationType: "direct" });

const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-sync"];
const browsers = [];
async function enter(me, other) {
  const browser = await chromium.launch({ executablePath, headless: true, args });
  browsers.push(browser);
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => console.log(`the page of ${me}: ${error.message}`));
  const hash = encodeURIComponent(JSON.stringify({ server, token: token(me), conversation, me, other }));
  await page.goto(`http://127.0.0.1:${pages.address().port}/#${hash}`);
  return page;
}

const shows = (page, selector, text, timeout = PATIENCE) => page.waitForFunction(
  ([selector, text]) => document.querySelector(selector)?.textContent === text, [selector, text], { timeout },
);
const listed = (page) => page.locator("#messages li").allTextContents();
async function say(page, text) {
  await page.fill("#text", text);
  await page.click("button");
}
async function until(condition, what) {
  const end = Date.now() + PATIENCE;
  while (!(await condition())) {
    assert.ok(Date.now() < end, what);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

let [a, b] = [];
await step("two browsers connect, and see each other online", async () => {
  a = await enter(ann, bob);
  await shows(a, "#connection", "online");
  await shows(a, "#presence", "offline");
  b = await enter(bob, ann);
  await shows(b, "#connection", "online");
  await shows(b, "#presence", "online");
  await shows(a, "#presence", "online");
});
await step("typing is seen, and ends", async () => {
  await a.locator("#text").pressSequentially("Hel");
  await shows(b, "#typing", `${ann} is typing`);
  assert.equal(await a.textContent("#typing"), "");
  await a.fill("#text", "");
  await shows(b, "#typing", "");
});
await step("a message comes to both, once, and is read", async () => {
  await say(a, "Hello from Ann 😀");
  for (const page of [a, b]) await until(async () => (await listed(page)).includes("Hello from Ann 😀"), "the message is shown");
  await a.waitForSelector("#messages li.mine[data-read]");
  await say(b, "Hello from Bob");
  await b.waitForSelector("#messages li.mine[data-read]");
  for (const page of [a, b]) assert.deepEqual(await listed(page), ["Hello from Ann 😀", "Hello from Bob"]);
});
await step("one who loses the network is offline to the other", async () => {
  await b.context().setOffline(true);
  // A browser keeps its WebSocket when it is told to be offline; the page's own is cut for it.
  await b.evaluate(() => window.dispatchEvent(new Event("offline")));
  await shows(b, "#connection", "offline");
  await shows(a, "#presence", "offline", OFFLINE);
  await say(a, "Are you there?");
  await say(a, "Hello?");
  await until(async () => (await listed(a)).length === 4, "the sender sees her own");
  assert.equal((await listed(b)).length, 2);
});
await step("and back, with all that was said meanwhile", async () => {
  await b.context().setOffline(false);
  await shows(b, "#connection", "online");
  await shows(a, "#presence", "online");
  const all = ["Hello from Ann 😀", "Hello from Bob", "Are you there?", "Hello?"];
  for (const page of [a, b]) assert.deepEqual(await listed(page), all);
  await until(async () => (await a.locator("#messages li.mine[data-read]").count()) === 3, "the rest is read, too");
});
await step("a browser that is closed is offline to the other", async () => {
  await browsers[1].close();
  await shows(a, "#presence", "offline", OFFLINE);
});

await Promise.all(browsers.map((browser) => browser.close()));
pages.close();
finish();
