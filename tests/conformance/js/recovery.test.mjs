// What was published while a client's connection was cut.

import assert from "node:assert/strict";

import {
  WEBSOCKET,
  arrived,
  check,
  checkEach,
  connected,
  offsets,
  proxied,
  publish,
  range,
  subscribed,
  unique,
  until,
  values,
} from "./support/clients.mjs";

/** Return a subscription behind a proxy, and one that publishes into the same channel and is never cut. */
async function pair(t, variant, channel, options) {
  const { proxy, address } = await proxied(t);
  const sub = await subscribed(await connected(t, variant, { address }), channel, options);
  const publisher = await subscribed(await connected(t, variant), channel);
  return { proxy, sub, publisher };
}

async function whileCut({ proxy, sub }, body) {
  const before = sub.seen.subscribed.length;
  proxy.cut();
  await until(() => sub.state === "subscribing", "the client notices");
  await body();
  proxy.mend();
  await until(() => sub.seen.subscribed.length > before, "it is subscribed again");
  return sub.seen.subscribed.at(-1);
}

checkEach("all that was published meanwhile arrives once", async (t, variant) => {
  const all = await pair(t, variant, unique());
  await publish(all.publisher, variant, range(1, 3));
  await arrived(all.sub, 3);
  const again = await whileCut(all, () => publish(all.publisher, variant, range(4, 60)));
  assert.equal(again.wasRecovering, true);
  assert.equal(again.recovered, true);
  assert.equal(again.hasRecoveredPublications, true);
  await publish(all.publisher, variant, range(61, 63));
  await arrived(all.sub, 63);
  assert.deepEqual(offsets(all.sub), range(1, 63));
  assert.deepEqual(values(all.sub, variant), range(1, 63));
  assert.equal(variant.unpack(all.sub.seen.publication[5].info.connInfo).name, "user 42");
});

checkEach("nothing published meanwhile is a recovery, too", async (t, variant) => {
  const all = await pair(t, variant, unique());
  await publish(all.publisher, variant, [1]);
  await arrived(all.sub, 1);
  const again = await whileCut(all, () => undefined);
  assert.equal(again.recovered, true);
  assert.equal(again.hasRecoveredPublications, false);
});

checkEach("history was overtaken: the client is told, and goes on from the newest", async (t, variant) => {
  const all = await pair(t, variant, unique("smallhistory:"));
  await publish(all.publisher, variant, range(1, 2));
  await arrived(all.sub, 2);
  const again = await whileCut(all, () => publish(all.publisher, variant, range(3, 5)));
  assert.equal(again.wasRecovering, true);
  assert.equal(again.recovered, false);
  assert.equal(again.streamPosition.offset, 5);
  await publish(all.publisher, variant, [6]);
  await arrived(all.sub, 3);
  assert.deepEqual(offsets(all.sub), [1, 2, 6]);
});

check("the whole history is recovered, and not one more", async (t) => {
  const variant = WEBSOCKET;
  const all = await pair(t, variant, unique());
  assert.equal((await whileCut(all, () => publish(all.publisher, variant, range(1, 100)))).recovered, true);
  await arrived(all.sub, 100);
  assert.equal((await whileCut(all, () => publish(all.publisher, variant, range(101, 201)))).recovered, false);
  await arrived(all.sub, 100);
});

checkEach("publishing goes on while clients come back: no hole and no double", async (t, variant) => {
  const all = await pair(t, variant, unique());
  let next = 1;
  let isDone = false;
  const publishing = (async () => {
    while (!isDone) {
      await publish(all.publisher, variant, [next++]);
      // Never as far ahead as history reaches.
      await until(() => isDone || next - all.sub.seen.publication.length < 80, "the client follows");
    }
  })();
  for (let cut = 0; cut < 3; cut += 1) {
    const from = next;
    await until(() => next > from + 5, "publications");
    assert.equal((await whileCut(all, () => undefined)).recovered, true);
  }
  isDone = true;
  await publishing;
  await arrived(all.sub, next - 1);
  assert.deepEqual(offsets(all.sub), range(1, next - 1));
});

checkEach("a client that begins with a position gets what follows it", async (t, variant) => {
  const client = await connected(t, variant);
  const channel = unique();
  const first = await subscribed(client, channel);
  await publish(first, variant, range(1, 5));
  const { epoch } = await first.history();
  const late = await connected(t, variant);
  const sub = await subscribed(late, channel, { since: { offset: 2, epoch } });
  await arrived(sub, 3);
  assert.deepEqual(offsets(sub), [3, 4, 5]);
});

check("a client that has a state of its own is asked for it when history is overtaken (error 112)", async (t) => {
  const channel = unique("smallhistory:");
  const { proxy, address } = await proxied(t);
  const publisher = await subscribed(await connected(t, WEBSOCKET), channel);
  await publish(publisher, WEBSOCKET, [1]);
  const asked = [];
  const getState = async () => {
    const { offset, epoch } = await publisher.history({ limit: 0 });
    asked.push(offset);
    return { offset, epoch };
  };
  const sub = await subscribed(await connected(t, WEBSOCKET, { address }), channel, { getState });
  await publish(publisher, WEBSOCKET, [2]);
  await arrived(sub, 1);
  const again = await whileCut({ proxy, sub }, () => publish(publisher, WEBSOCKET, range(3, 6)));
  assert.equal(again.recovered, true);
  await publish(publisher, WEBSOCKET, [7]);
  await arrived(sub, 2);
  assert.deepEqual(offsets(sub), [2, 7]);
  assert.deepEqual(asked, [1, 6]);
});
