// The server a program talks to: one that runs, or one that the program starts, stops and starts again.
//
//     … http://127.0.0.1:3000            what runs there
//     … -- COMMAND …                     started on a free port, which `{port}` in the command or `--port N` behind it names

import { spawn } from "node:child_process";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** How long a server may take to start or to end. */
const PATIENCE = 120_000;

process.once("SIGTERM", () => process.exit(143));

export class Serving {
  constructor(url, command) {
    this.url = url;
    this.command = command;
  }

  /** The server that the arguments name, or the program ends with what to give it. */
  static async from(argv, usage) {
    const dashes = argv.indexOf("--");
    if (dashes < 0) {
      if (!/^http:\/\//.test(argv[0] ?? "")) {
        console.error(`usage: ${usage} http://HOST:PORT | -- COMMAND …`);
        process.exit(2);
      }
      return new Serving(argv[0].replace(/\/$/, ""), null);
    }
    const port = await freePort();
    const command = argv.slice(dashes + 1).map((word) => word.replaceAll("{port}", port));
    if (!argv.some((word) => word.includes("{port}"))) command.push("--port", String(port));
    const serving = new Serving(`http://127.0.0.1:${port}`, command);
    await serving.start();
    return serving;
  }

  /** Whether it is this program's to stop and start. */
  get owned() {
    return this.command !== null;
  }

  async start() {
    const [program, ...args] = this.command;
    this.child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
    // Whatever ends this program, the server does not outlive it.
    const { child } = this;
    process.once("exit", () => child.kill("SIGKILL"));
    this.ended = new Promise((resolve) => {
      this.child.once("exit", resolve);
      this.child.once("error", (error) => resolve(error.message));
    });
    let over = null;
    this.ended.then((how) => (over = how ?? "a signal"));
    const until = Date.now() + PATIENCE;
    while (!(await answers(this.url))) {
      if (over !== null) throw new Error(`${program} ended with ${over} instead of listening`);
      if (Date.now() > until) throw new Error(`${program} does not listen after ${PATIENCE} ms`);
      await sleep(20);
    }
  }

  async stop(signal = "SIGTERM") {
    this.child.kill(signal);
    const late = setTimeout(() => this.child.kill("SIGKILL"), PATIENCE);
    await this.ended;
    clearTimeout(late);
  }

  /** Stops it and starts it again on the same port. */
  async restart(signal) {
    await this.stop(signal);
    await this.start();
  }

  async end() {
    if (this.owned) await this.stop("SIGKILL");
  }
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function answers(url) {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port) });
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
