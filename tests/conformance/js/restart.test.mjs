// A server that stops and starts again on the same port. GATEWAY_COMMAND is how to start one, as a JSON array to which
// options of `portcast serve` are added.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  VARIANTS,
  arrived,
  check,
  connected,
  offsets,
  publish,
  subscribed,
  unique,
  until,
  values,
} from "./support/clients.mjs";

const COMMAND = JSON.parse(process.env.GATEWAY_COMMAND ?? "null");

async function freeAddress() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return `127.0.0.1:${port}`;
}

function accepts(address) {
  const [host, port] = address.split(":");
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port) });
    socket.on("connect", () => resolve(socket.end()));
    socket.on("error", () => resolve(null));
  });
}

async function started(t, address, options) {
  const [program, ...rest] = COMMAND;
  const command = [...rest, "--http", address, ...options];
  const server = spawn(program, command, { stdio: ["ignore", "ignore", "inherit"] });
  t.after(() => server.kill("SIGKILL"));
  const end = Date.now() + 10_000;
  while (!(await accepts(address))) {
    assert.ok(Date.now() < end && server.exitCode === null, "the server did not start");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return server;
}

/** Begin with clients of every kind that have two publications; restart; return their subscriptions. */
async function restarted(t, options = []) {
  const address = await freeAddress();
  const server = await started(t, address, options);
  const channel = unique();
  const subs = [];
  for (const variant of VARIANTS) {
    const client = await connected(t, variant, { address });
    subs.push({ client, variant, sub: await subscribed(client, channel) });
  }
  await publish(subs[0].sub, subs[0].variant, ["before 1", "before 2"]);
  for (const { sub } of subs) await arrived(sub, 2);

  server.kill("SIGTERM");
  const [status] = await once(server, "exit");
  assert.equal(status, 0);
  for (const { client, variant } of subs) {
    await until(() => client.state === "connecting", `${variant.name} notices`);
    // The first `connecting` was that of the start.
    assert.deepEqual([variant.name, client.seen.connecting[1].code], [variant.name, 3001]);
  }
  await started(t, address, options);
  for (const { sub, variant } of subs) {
    await until(() => sub.seen.subscribed.length === 2, `${variant.name} is subscribed again`);
    assert.equal(sub.seen.subscribed[1].wasRecovering, true);
  }
  return subs;
}

function epochs({ sub }) {
  return sub.seen.subscribed.map((one) => one.streamPosition.epoch);
}

async function goOn(subs, wanted) {
  await publish(subs[0].sub, subs[0].variant, ["after"]);
  for (const { sub, variant } of subs) {
    await arrived(sub, 3);
    assert.deepEqual(values(sub, variant), ["before 1", "before 2", "after"]);
    assert.deepEqual(offsets(sub), wanted);
  }
}

const options = { timeout: 30_000, skip: COMMAND === null && "GATEWAY_COMMAND is not set" };

check(
  "every client comes back, is told of the gap, and goes on",
  async (t) => {
    const subs = await restarted(t);
    for (const { sub } of subs) assert.equal(sub.seen.subscribed[1].recovered, false);
    const [before, after] = epochs(subs[0]);
    assert.notEqual(before, after);
    for (const one of subs) assert.deepEqual(epochs(one), [before, after]);
    await goOn(subs, [1, 2, 1]);
  },
  options,
);

check(
  "where history is kept over a restart, every client comes back as after a cut",
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "portcast-"));
    t.after(() => rm(folder, { recursive: true }));
    const subs = await restarted(t, ["--state-dir", folder]);
    for (const { sub } of subs) assert.equal(sub.seen.subscribed[1].recovered, true);
    const [before, after] = epochs(subs[0]);
    assert.equal(before, after);
    await goOn(subs, [1, 2, 3]);
  },
  options,
);
