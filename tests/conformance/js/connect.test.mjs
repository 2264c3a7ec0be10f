// Connecting, publishing and receiving, over every transport.

import assert from "node:assert/strict";

import {
  VARIANTS,
  arrived,
  check,
  checkEach,
  connected,
  newClient,
  offsets,
  proxied,
  publish,
  range,
  subscribed,
  unique,
  until,
  values,
} from "./support/clients.mjs";

checkEach("connects by the transport that it was given, with an id of its own", async (t, variant) => {
  const first = await connected(t, variant);
  const second = await connected(t, variant);
  assert.equal(first.seen.connected[0].transport, variant.transport);
  assert.match(first.seen.connected[0].client, /\S{8,}/);
  assert.notEqual(first.seen.connected[0].client, second.seen.connected[0].client);
});

checkEach("receives what it publishes, with offsets and with who published", async (t, variant) => {
  const client = await connected(t, variant, { user: "7" });
  const sub = await subscribed(client, unique());
  assert.equal(sub.seen.subscribed[0].recoverable, true);
  assert.equal(sub.seen.subscribed[0].positioned, true);
  assert.equal(sub.seen.subscribed[0].wasRecovering, false);
  assert.equal(sub.seen.subscribed[0].streamPosition.offset, 0);

  const sent = [{ text: "héllo\n\u2028 \"wörld\" 🚲" }, [1, 2.5, null], "text", 0, false];
  await publish(sub, variant, sent);
  await arrived(sub, sent.length);
  assert.deepEqual(values(sub, variant), sent);
  assert.deepEqual(offsets(sub), range(1, sent.length));
  const { info } = sub.seen.publication[0];
  assert.equal(info.user, "7");
  assert.equal(info.client, client.seen.connected[0].client);
  assert.deepEqual(variant.unpack(info.connInfo), { name: "user 7" });
});

checkEach("what was begun before the connection was there is done in order", async (t, variant) => {
  const client = newClient(t, variant);
  const sub = client.newSubscription(unique());
  const seen = [];
  sub.on("publication", (one) => seen.push(variant.unpack(one.data)));
  sub.subscribe();
  client.connect();
  await Promise.all([1, 2, 3].map((value) => sub.publish(variant.pack(value))));
  await until(() => seen.length === 3, "three publications");
  assert.deepEqual(seen, [1, 2, 3]);
});

checkEach("comes back by itself after its connection broke", async (t, variant) => {
  const { proxy, address } = await proxied(t);
  const client = await connected(t, variant, { address });
  proxy.cut();
  await until(() => client.state === "connecting", "the client notices");
  proxy.mend();
  await client.ready(5_000);
  assert.equal(client.seen.connected.length, 2);
  assert.equal(client.seen.disconnected.length, 0);
});

checkEach("a big publication arrives whole", async (t, variant) => {
  const sub = await subscribed(await connected(t, variant), unique());
  const text = "ä0123456789".repeat(2_500);
  await publish(sub, variant, [{ text }]);
  await arrived(sub, 1);
  assert.deepEqual(values(sub, variant), [{ text }]);
});

checkEach("who is not subscribed may not publish", async (t, variant) => {
  const client = await connected(t, variant);
  await assert.rejects(client.publish(unique(), variant.pack(1)), { code: 103 });
});

checkEach("what is larger than the server takes", async (t, variant) => {
  const client = await connected(t, variant, { timeout: 1_000 }); // HTTP: refused with 413, which the SDK ignores
  const sub = await subscribed(client, unique());
  await assert.rejects(sub.publish(variant.pack("x".repeat(70_000))));
  if (variant.transport === "websocket") {
    await until(() => client.state === "disconnected", "it is disconnected");
    assert.equal(client.seen.disconnected[0].code, 3); // the SDK's own "message size limit"
  } else {
    await client.ready(5_000);
    await publish(sub, variant, [1]);
    await until(() => sub.seen.publication.length === 1, "the one that is not too large");
  }
});

check("every kind of client receives what any other publishes", async (t) => {
  const channel = unique();
  const clients = await Promise.all(VARIANTS.map((variant) => connected(t, variant)));
  const subs = await Promise.all(clients.map((client) => subscribed(client, channel)));
  for (const [index, sub] of subs.entries()) await publish(sub, VARIANTS[index], [{ from: index }]);
  for (const [index, sub] of subs.entries()) {
    await arrived(sub, subs.length);
    assert.deepEqual(values(sub, VARIANTS[index]), range(0, subs.length - 1).map((from) => ({ from })));
  }
});
