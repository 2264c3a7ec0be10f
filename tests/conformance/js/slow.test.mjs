// A client that stops reading while much is published, and reads again: it gets everything, or is told of the gap.

import assert from "node:assert/strict";

import {
  WEBSOCKET,
  checkEach,
  connected,
  offsets,
  proxied,
  range,
  subscribed,
  unique,
  until,
} from "./support/clients.mjs";

const COUNT = 400;
const FILLER = "x".repeat(40_000);

/** Check that offsets rise, and that each hole in them is one that the client was told of. */
function assertToldOfGaps(sub, log) {
  let last = 0;
  let mayJump = false;
  for (const [what, event] of log) {
    if (what === "subscribed") {
      mayJump = event.wasRecovering && !event.recovered;
      if (mayJump) last = event.streamPosition.offset;
    } else {
      assert.equal(event.offset, last + 1, "a hole or a double that nobody told of");
      last = event.offset;
    }
  }
  assert.equal(last, COUNT + 1);
}

function logOf(sub) {
  const log = [["subscribed", sub.seen.subscribed[0]]];
  sub.on("subscribed", (event) => log.push(["subscribed", event]));
  sub.on("publication", (event) => log.push(["publication", event]));
  return log;
}

/** Return the offset up to which a client has everything, or knows that it has not. */
function position(log) {
  const [what, event] = log.at(-1);
  return what === "publication" ? event.offset : event.streamPosition.offset;
}

checkEach("a client that is overtaken learns of the gap", async (t, variant) => {
  const channel = unique();
  const { proxy, address } = await proxied(t);
  const client = await connected(t, variant, { address });
  const sub = await subscribed(client, channel);
  const log = logOf(sub);
  const publisher = await subscribed(await connected(t, WEBSOCKET), channel);
  const quick = await subscribed(await connected(t, variant), channel);

  proxy.hold();
  for (let first = 1; first <= COUNT; first += 20) {
    await Promise.all(range(first, first + 19).map((number) => publisher.publish({ number, FILLER })));
  }
  await until(() => quick.seen.publication.length === COUNT, "a quick client has everything");
  assert.deepEqual(offsets(quick), range(1, COUNT));
  proxy.release();
  await until(() => position(log) === COUNT, () => `the client is at ${position(log)}`);
  await publisher.publish({ number: COUNT + 1 });
  await until(() => position(log) === COUNT + 1, "the last one");

  assertToldOfGaps(sub, log);
  const codes = sub.seen.subscribing.slice(1).map((event) => event.code);
  t.diagnostic(`${log.length} events, subscribed again because of: ${codes}`);
  assert.ok(log.length < COUNT, "it was held for too short a time to be overtaken");
  assert.deepEqual(new Set(codes), new Set([2500]));
  assert.equal(client.seen.connected.length, 1);
});

checkEach("a client that is slow for a moment gets everything", async (t, variant) => {
  const channel = unique();
  const { proxy, address } = await proxied(t);
  const client = await connected(t, variant, { address });
  const sub = await subscribed(client, channel);
  const publisher = await subscribed(await connected(t, WEBSOCKET), channel);
  proxy.hold();
  await Promise.all(range(1, 90).map((number) => publisher.publish({ number })));
  proxy.release();
  await until(() => sub.seen.publication.length === 90, "all publications");
  assert.deepEqual(offsets(sub), range(1, 90));
  assert.equal(client.seen.connected.length, 1);
  assert.equal(sub.seen.subscribed.length, 1);
});
