// Subscribing and unsubscribing again and again, and how many subscriptions a connection may have.

import assert from "node:assert/strict";

import {
  WEBSOCKET,
  arrived,
  check,
  checkEach,
  connected,
  newClient,
  newSubscription,
  publish,
  range,
  subscribed,
  unique,
  until,
  values,
} from "./support/clients.mjs";

/** Of one connection, on both sides together. Every user has a personal channel. */
const MOST = 128 - 1;

checkEach("unsubscribing and subscribing in a row ends as the last of them says", async (t, variant) => {
  const client = await connected(t, variant);
  const channel = unique();
  const publisher = await subscribed(await connected(t, variant), channel);
  const sub = await subscribed(client, channel);
  for (let time = 0; time < 20; time += 1) {
    sub.unsubscribe();
    sub.subscribe();
  }
  await sub.ready(5_000);
  await publish(publisher, variant, [1]);
  await arrived(sub, 1);
  assert.equal(client.seen.connected.length, 1);
  assert.deepEqual((await sub.presenceStats()).numClients, 2);

  for (let time = 0; time < 20; time += 1) {
    sub.subscribe();
    sub.unsubscribe();
  }
  await until(() => publisher.seen.leave.length === publisher.seen.join.length - 1, "it leaves");
  await publish(publisher, variant, [2]);
  await arrived(publisher, 2);
  assert.deepEqual((await publisher.presenceStats()).numClients, 1);
  await arrived(sub, 1);
});

checkEach("each round of subscribing, publishing and unsubscribing gets its own publication", async (t, variant) => {
  const client = await connected(t, variant);
  const sub = newSubscription(client, unique());
  for (const value of range(1, 10)) {
    sub.subscribe();
    await sub.publish(variant.pack(value));
    await arrived(sub, value);
    sub.unsubscribe();
  }
  assert.deepEqual(values(sub, variant), range(1, 10));
  assert.equal(client.seen.connected.length, 1);
});

checkEach("a subscription that was removed can be made anew", async (t, variant) => {
  const client = await connected(t, variant);
  const channel = unique();
  for (const time of range(1, 3)) {
    const sub = await subscribed(client, channel);
    await publish(sub, variant, [time]);
    await arrived(sub, 1);
    client.removeSubscription(sub);
  }
});

checkEach("as many subscriptions as allowed work, and one more is error 106", async (t, variant) => {
  const client = newClient(t, variant);
  const subs = range(1, MOST).map(() => newSubscription(client, unique()));
  for (const sub of subs) sub.subscribe();
  client.connect(); // all of them in the first frame
  await Promise.all(subs.map((sub) => sub.ready(5_000)));
  await Promise.all(subs.map((sub, at) => sub.publish(variant.pack(at))));
  for (const [at, sub] of subs.entries()) {
    await arrived(sub, 1);
    assert.deepEqual(values(sub, variant), [at]);
  }

  const surplus = newSubscription(client, unique());
  surplus.subscribe();
  await until(() => surplus.state === "unsubscribed", "it is unsubscribed");
  assert.equal(surplus.seen.unsubscribed[0].code, 106);
  subs[0].unsubscribe();
  surplus.subscribe();
  await surplus.ready(5_000);
});

check("a name that no channel can have is error 107", async (t) => {
  const client = await connected(t, WEBSOCKET);
  for (const channel of ["x".repeat(256), "a/#/b", "a\nb"]) {
    const sub = newSubscription(client, channel);
    sub.subscribe();
    await until(() => sub.state === "unsubscribed", `${JSON.stringify(channel).slice(0, 20)} is refused`);
    assert.equal(sub.seen.unsubscribed[0].code, 107);
  }
  assert.equal(client.state, "connected");
});
