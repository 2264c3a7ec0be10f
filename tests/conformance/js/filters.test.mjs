// Subscriptions that get a part of a channel (tag filters), or many (wildcards).
//
// Clients cannot give their publications tags. With TAGS=1 the server has
// `POST /tagged/TOPIC?key=value`, as app.py has.

import assert from "node:assert/strict";

import {
  ADDRESS,
  arrived,
  checkEach,
  connected,
  newSubscription,
  offsets,
  proxied,
  publish,
  range,
  subscribed,
  unique,
  until,
  values,
} from "./support/clients.mjs";

const skip = process.env.TAGS === "1" ? false : "nothing gives publications tags; set TAGS=1 if the server does";

async function tagged(channel, value, tags) {
  const url = `http://${ADDRESS}/tagged/${channel}?${new URLSearchParams(tags)}`;
  const response = await fetch(url, { method: "POST", body: JSON.stringify(value) });
  assert.equal(response.status, 200);
}

checkEach("a filter lets through what fits, and recovery does, too", async (t, variant) => {
  if (skip) return t.skip(skip);
  const channel = unique();
  const { proxy, address } = await proxied(t);
  const client = await connected(t, variant, { address });
  const tagsFilter = {
    op: "and",
    nodes: [{ key: "color", cmp: "in", vals: ["red", "blue"] }, { key: "size", cmp: "gt", val: "9" }],
  };
  const sub = await subscribed(client, channel, { tagsFilter });
  const all = await subscribed(await connected(t, variant), channel);
  const fits = (number) => number % 3 !== 0 && number > 9;
  const send = async (numbers) => {
    for (const number of numbers) {
      await tagged(channel, number, { color: ["green", "red", "blue"][number % 3], size: number });
    }
  };

  await send(range(1, 15));
  await arrived(all, 15);
  await arrived(sub, 4);
  proxy.cut();
  await until(() => sub.state === "subscribing", "the client notices");
  await send(range(16, 30));
  proxy.mend();
  await until(() => sub.seen.subscribed.length === 2, "it is subscribed again");
  assert.equal(sub.seen.subscribed[1].recovered, true);
  await send(range(31, 33));
  const wanted = range(1, 33).filter(fits);
  await arrived(sub, wanted.length);
  assert.deepEqual(values(sub, variant), wanted);
  assert.deepEqual(offsets(sub), wanted);
  assert.deepEqual({ ...sub.seen.publication[0].tags }, { color: "red", size: "10" });
});

checkEach("publications without tags are seen by filters that ask for none", async (t, variant) => {
  const channel = unique();
  const client = await connected(t, variant);
  const has = { key: "color", cmp: "ex" };
  const filters = [has, { key: "color", cmp: "nex" }, { op: "not", nodes: [has] }];
  const clients = await Promise.all(filters.map(() => connected(t, variant)));
  const subs = await Promise.all(clients.map((one, at) => subscribed(one, channel, { tagsFilter: filters[at] })));
  const publisher = await subscribed(client, channel);
  await publish(publisher, variant, [1, 2, 3]);
  await arrived(publisher, 3);
  await arrived(subs[1], 3);
  await arrived(subs[2], 3);
  // What was published is behind this answer, on each connection.
  await subs[0].presenceStats();
  assert.equal(subs[0].seen.publication.length, 0);
});

checkEach("a filter that cannot be is error 107", async (t, variant) => {
  const client = await connected(t, variant);
  const sub = newSubscription(client, unique(), { tagsFilter: { op: "and", nodes: [] } });
  sub.subscribe();
  await until(() => sub.state === "unsubscribed", "it is unsubscribed");
  assert.equal(sub.seen.unsubscribed[0].code, 107);
});

checkEach("a wildcard gets every topic that fits, and says which in the tags", async (t, variant) => {
  const place = unique("sensors");
  const client = await connected(t, variant);
  const sub = await subscribed(client, `${place}/+/temp`);
  assert.equal(sub.seen.subscribed[0].recoverable, false);
  const topics = [`${place}/a/temp`, `${place}/b/temp`, `${place}/a/wind`, `${place}/c/d/temp`, `${place}/c/temp`];
  const publishers = await connected(t, variant);
  for (const [at, topic] of topics.entries()) await publish(await subscribed(publishers, topic), variant, [at]);
  await arrived(sub, 3);
  assert.deepEqual(values(sub, variant), [0, 1, 4]);
  assert.deepEqual(sub.seen.publication.map((one) => one.tags.topic), [topics[0], topics[1], topics[4]]);
  assert.deepEqual(sub.seen.publication.map((one) => one.offset ?? 0), [0, 0, 0]);
});

checkEach("a wildcard has presence, and neither history nor a place to publish to", async (t, variant) => {
  const sub = await subscribed(await connected(t, variant), `${unique("sensors")}/+`);
  assert.deepEqual(await sub.presenceStats(), { numClients: 1, numUsers: 1 });
  await assert.rejects(sub.history({ limit: 1 }), { code: 107 });
  await assert.rejects(sub.publish(variant.pack(1)), { code: 107 });
});

checkEach("a wildcard and a topic that it covers are two subscriptions", async (t, variant) => {
  const place = unique("sensors");
  const client = await connected(t, variant);
  const wild = await subscribed(client, `${place}/#`);
  const exact = await subscribed(client, `${place}/a`, { delta: "fossil" });
  await publish(exact, variant, ["x".repeat(200), "x".repeat(199)]);
  for (const sub of [wild, exact]) {
    await arrived(sub, 2);
    assert.deepEqual(values(sub, variant), ["x".repeat(200), "x".repeat(199)]);
  }
  assert.deepEqual(offsets(exact), [1, 2]);
});

checkEach("a wildcard comes back after a cut and claims to have recovered nothing", async (t, variant) => {
  const place = unique("sensors");
  const { proxy, address } = await proxied(t);
  const sub = await subscribed(await connected(t, variant, { address }), `${place}/+`);
  proxy.cut();
  await until(() => sub.state === "subscribing", "the client notices");
  proxy.mend();
  await until(() => sub.seen.subscribed.length === 2, "it is subscribed again");
  assert.equal(sub.seen.subscribed[1].recovered, false);
  const publisher = await subscribed(await connected(t, variant), `${place}/a`);
  await publish(publisher, variant, [1]);
  await arrived(sub, 1);
});
