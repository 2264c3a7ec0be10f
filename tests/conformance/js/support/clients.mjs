// Clients of every transport and format, and what the tests do with them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Centrifuge } from "centrifuge";
import { Centrifuge as ProtobufCentrifuge } from "centrifuge/build/protobuf";
import { EventSource } from "eventsource";
import WebSocket from "ws";

import { Proxy } from "./proxy.mjs";
import { token } from "./tokens.mjs";

/** HOST:PORT of the server that all files share. */
export const ADDRESS = process.env.GATEWAY_ADDRESS ?? "127.0.0.1:8000";

const LIMIT_MS = 15_000;
const run = Math.random().toString(36).slice(2, 8);
let count = 0;

/** Return a name that no other test, and no other run, has used. */
export function unique(prefix = "js") {
  count += 1;
  return `${prefix}-${run}-${count}`;
}

const asJson = { pack: (value) => value, unpack: (data) => data };
const asBytes = {
  pack: (value) => new TextEncoder().encode(JSON.stringify(value)),
  unpack: (data) => JSON.parse(new TextDecoder().decode(data)),
};

/** Every way to speak to the server; `pack` and `unpack` turn values into what the client publishes, and back. */
export const VARIANTS = [
  { name: "WebSocket", transport: "websocket", make: Centrifuge, ...asJson },
  { name: "WebSocket, Protobuf", transport: "websocket", make: ProtobufCentrifuge, ...asBytes },
  { name: "HTTP streaming", transport: "http_stream", make: Centrifuge, ...asJson },
  { name: "HTTP streaming, Protobuf", transport: "http_stream", make: ProtobufCentrifuge, ...asBytes },
  { name: "SSE", transport: "sse", make: Centrifuge, ...asJson },
];
export const [WEBSOCKET] = VARIANTS;

/** Declare a test that ends in time. */
export function check(name, body, options = {}) {
  test(name, { timeout: LIMIT_MS, ...options }, body);
}

/** Declare a test for each way to speak to the server. */
export function checkEach(name, body) {
  for (const variant of VARIANTS) check(`${name} (${variant.name})`, (t) => body(t, variant));
}

/** Wait until `condition` returns something true, and return that. */
export async function until(condition, what, limitMs = 8_000) {
  for (const end = Date.now() + limitMs; ; ) {
    const found = condition();
    if (found) return found;
    const text = typeof what === "function" ? what() : what;
    assert.ok(Date.now() < end, `not in time: ${text}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Return a client that is not connected yet; it leaves at the end of the test. */
export function newClient(t, variant = WEBSOCKET, { address = ADDRESS, user = "42", ...options } = {}) {
  const scheme = variant.transport === "websocket" ? "ws" : "http";
  const endpoint = `${scheme}://${address}/connection/${variant.transport}`;
  const client = new variant.make([{ transport: variant.transport, endpoint }], {
    emulationEndpoint: `http://${address}/emulation`,
    websocket: WebSocket,
    eventsource: EventSource,
    fetch,
    readableStream: ReadableStream,
    minReconnectDelay: 20,
    maxReconnectDelay: 200,
    ...("getToken" in options ? {} : { token: token({ sub: user, info: { name: `user ${user}` } }) }),
    ...options,
  });
  client.seen = watch(client, [
    ...["connecting", "connected", "disconnected", "error"],
    ...["subscribed", "publication", "join"], // of subscriptions that the server made
  ]);
  t.after(() => client.disconnect());
  return client;
}

/** Return a client that is connected. */
export async function connected(t, variant, options) {
  const client = newClient(t, variant, options);
  client.connect();
  await client.ready(5_000);
  return client;
}

/** Subscribe, and return the subscription once it is confirmed. `sub.seen` has its events by name. */
export async function subscribed(client, channel, options) {
  const sub = newSubscription(client, channel, options);
  sub.subscribe();
  await sub.ready(5_000);
  return sub;
}

export function newSubscription(client, channel, options) {
  const sub = client.newSubscription(channel, { minResubscribeDelay: 20, maxResubscribeDelay: 200, ...options });
  sub.seen = watch(sub, ["subscribing", "subscribed", "unsubscribed", "publication", "join", "leave", "error"]);
  return sub;
}

function watch(emitter, names) {
  const seen = {};
  for (const name of names) {
    seen[name] = [];
    emitter.on(name, (event) => seen[name].push(event));
  }
  return seen;
}

/** Return a proxy before the server, and its address. */
export async function proxied(t, address = ADDRESS) {
  const [host, port] = address.split(":");
  const proxy = new Proxy(host, Number(port));
  t.after(() => proxy.close());
  return { proxy, address: await proxy.open() };
}

/** Publish values one after the other. */
export async function publish(sub, variant, values) {
  for (const value of values) await sub.publish(variant.pack(value));
}

export function offsets(sub) {
  return sub.seen.publication.map((one) => one.offset);
}

export function values(sub, variant) {
  return sub.seen.publication.map((one) => variant.unpack(one.data));
}

/** Return the whole numbers from `first` to `last`, both included. */
export function range(first, last) {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** Wait for so many publications; there must not be more. */
export async function arrived(sub, number, limitMs) {
  await until(
    () => sub.seen.publication.length >= number,
    () => `${sub.seen.publication.length} of ${number} publications`,
    limitMs,
  );
  assert.equal(sub.seen.publication.length, number);
}
