// Delta compression (fossil): all texts are right, and fewer bytes are on the wire.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";

import {
  arrived,
  checkEach,
  connected,
  offsets,
  proxied,
  range,
  subscribed,
  unique,
  until,
  values,
} from "./support/clients.mjs";

const COUNT = 300;

/** Return what a device reports: much stays the same. Some of it takes several bytes in UTF-8, and some is escaped. */
function report(number) {
  const état = "en marche \"€\" \\ 🚲";
  const sensors = Object.fromEntries(
    range(1, 24).map((id) => [`sensör ${id}`, { "°C": 20 + ((id * number) % 7) / 8, état }]),
  );
  return { number, at: 1_700_000_000 + number * 3, place: "Zürich – Gleis " + (number % 5), sensors };
}

/** Publish from a client of its own, several at a time. */
async function publishAll(publisher, variant, numbers) {
  for (let at = 0; at < numbers.length; at += 20) {
    await Promise.all(numbers.slice(at, at + 20).map((one) => publisher.publish(variant.pack(report(one)))));
  }
}

checkEach("hundreds of publications come as differences", async (t, variant) => {
  const channel = unique();
  const [small, plain] = [await proxied(t), await proxied(t)];
  const sub = await subscribed(await connected(t, variant, small), channel, { delta: "fossil" });
  const whole = await subscribed(await connected(t, variant, plain), channel);
  const publisher = await subscribed(await connected(t, variant), channel);
  await publishAll(publisher, variant, range(1, COUNT));
  await arrived(sub, COUNT);
  await arrived(whole, COUNT);

  assert.deepEqual(values(sub, variant), range(1, COUNT).map(report));
  assert.deepEqual(values(whole, variant), range(1, COUNT).map(report));
  assert.deepEqual(offsets(sub), range(1, COUNT));
  const stats = sub.deltaStats();
  assert.ok(stats.numDeltaPayloads >= COUNT - 1, JSON.stringify(stats));
  const [less, more] = [small.proxy.received, plain.proxy.received];
  t.diagnostic(`${less} bytes instead of ${more}`);
  assert.ok(less < more / 2, `${less} bytes are not much less than ${more}`);
});

checkEach("it goes on after a cut, from what was recovered", async (t, variant) => {
  const channel = unique();
  const { proxy, address } = await proxied(t);
  const sub = await subscribed(await connected(t, variant, { address }), channel, { delta: "fossil" });
  const publisher = await subscribed(await connected(t, variant), channel);
  await publishAll(publisher, variant, range(1, 30));
  await arrived(sub, 30);
  for (const missed of [range(31, 60), []]) {
    const before = sub.seen.subscribed.length;
    proxy.cut();
    await until(() => sub.state === "subscribing", "the client notices");
    await publishAll(publisher, variant, missed);
    proxy.mend();
    await until(() => sub.seen.subscribed.length > before, "it is subscribed again");
    assert.equal(sub.seen.subscribed.at(-1).recovered, true);
  }
  await publishAll(publisher, variant, range(61, 90));
  await arrived(sub, 90);
  assert.deepEqual(values(sub, variant), range(1, 90).map(report));
});

checkEach("who comes later, and who has plain subscriptions as well, is right too", async (t, variant) => {
  const [channel, other] = [unique(), unique()];
  const publishers = await connected(t, variant);
  const [first, second] = [await subscribed(publishers, channel), await subscribed(publishers, other)];
  await publishAll(first, variant, range(1, 5));
  const client = await connected(t, variant);
  const sub = await subscribed(client, channel, { delta: "fossil" });
  const plain = await subscribed(client, other);
  for (const number of range(6, 40)) {
    await publishAll(first, variant, [number]);
    await publishAll(second, variant, [number]);
    if (number === 20) {
      await arrived(sub, 15);
      await arrived(plain, 15);
      plain.unsubscribe();
      sub.unsubscribe();
      sub.subscribe();
      await sub.ready(5_000);
    }
  }
  await arrived(sub, 35);
  assert.deepEqual(values(sub, variant), range(6, 40).map(report));
  assert.deepEqual(values(plain, variant), range(6, 20).map(report));
});

checkEach("what is too small or too different for a difference arrives whole", async (t, variant) => {
  const channel = unique();
  const sub = await subscribed(await connected(t, variant), channel, { delta: "fossil" });
  const sent = [1, { a: 1 }, "x".repeat(300), report(1), "x".repeat(299) + "y", null, report(2), report(3), []];
  for (const value of sent) await sub.publish(variant.pack(value));
  await arrived(sub, sent.length);
  assert.deepEqual(values(sub, variant), sent);
});

checkEach("a slow client's differences are right", async (t, variant) => {
  const channel = unique();
  const { proxy, address } = await proxied(t);
  const sub = await subscribed(await connected(t, variant, { address }), channel, { delta: "fossil" });
  const publisher = await subscribed(await connected(t, variant), channel);
  const same = randomBytes(10_000).toString("hex");
  const reports = range(1, 40).map((number) => ({ number, same, other: randomBytes(10_000).toString("hex") }));
  const log = [];
  sub.on("subscribed", (event) => log.push(event.streamPosition.offset));
  sub.on("publication", (event) => log.push(event.offset));

  proxy.hold();
  for (let at = 0; at < reports.length; at += 10) {
    await Promise.all(reports.slice(at, at + 10).map((one) => publisher.publish(variant.pack(one))));
  }
  proxy.release();
  await until(() => log.at(-1) === reports.length, () => `the client is at ${log.at(-1)}`);
  await publisher.publish(variant.pack(reports[0]));
  await until(() => log.at(-1) === reports.length + 1, "the last one");
  const sent = [null, ...reports, reports[0]];
  for (const [at, value] of values(sub, variant).entries()) assert.deepEqual(value, sent[offsets(sub)[at]]);
  t.diagnostic(`${JSON.stringify(sub.deltaStats())}, subscribed ${sub.seen.subscribed.length} times`);
});
