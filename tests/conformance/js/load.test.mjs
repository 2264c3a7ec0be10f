// Many clients, and many publications.

import assert from "node:assert/strict";

import {
  VARIANTS,
  WEBSOCKET,
  arrived,
  check,
  connected,
  offsets,
  range,
  subscribed,
  unique,
  values,
} from "./support/clients.mjs";

const LIMIT_MS = 12_000;

check("a hundred clients at once, each of which says something to all", async (t) => {
  const channel = unique();
  const clients = await Promise.all(range(1, 100).map(() => connected(t, WEBSOCKET)));
  const subs = await Promise.all(clients.map((client) => subscribed(client, channel)));
  assert.equal((await subs[0].presenceStats()).numClients, 100);
  await Promise.all(subs.map((sub, from) => sub.publish({ from })));
  await Promise.all(subs.map((sub) => arrived(sub, 100, LIMIT_MS)));
  for (const sub of subs) assert.deepEqual(offsets(sub), range(1, 100));
  assert.deepEqual(new Set(values(subs[0], WEBSOCKET).map((one) => one.from)), new Set(range(0, 99)));
});

check("a hundred clients of other transports at once", async (t) => {
  const channel = unique();
  const others = VARIANTS.slice(2);
  const variants = range(0, 99).map((at) => others[at % others.length]);
  const subs = await Promise.all(
    variants.map(async (variant) => subscribed(await connected(t, variant), channel)),
  );
  await Promise.all(range(0, 9).map((at) => subs[at].publish(variants[at].pack(at))));
  await Promise.all(subs.map((sub) => arrived(sub, 10, LIMIT_MS)));
  for (const sub of subs) assert.deepEqual(offsets(sub), range(1, 10));
});

check("two publishers, two thousand publications: in order, no hole and no double", async (t) => {
  const channel = unique();
  const subs = await Promise.all(
    VARIANTS.map(async (variant) => subscribed(await connected(t, variant), channel)),
  );
  const publishers = await Promise.all(
    ["a", "b"].map(async (user) => subscribed(await connected(t, WEBSOCKET, { user }), channel)),
  );
  await Promise.all(
    publishers.map(async (publisher, by) => {
      for (let first = 0; first < 1_000; first += 50) {
        await Promise.all(range(first, first + 49).map((number) => publisher.publish({ by, number })));
      }
    }),
  );
  for (const [at, sub] of [...subs, ...publishers].entries()) {
    await arrived(sub, 2_000, LIMIT_MS);
    assert.deepEqual(offsets(sub), range(1, 2_000));
    assert.equal(sub.seen.subscribed.length, 1);
    const all = values(sub, VARIANTS[at] ?? WEBSOCKET);
    for (const by of [0, 1]) {
      assert.deepEqual(all.filter((one) => one.by === by).map((one) => one.number), range(0, 999));
    }
  }
});
