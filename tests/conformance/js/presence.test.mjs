// Who is in a channel, and who comes and goes.

import assert from "node:assert/strict";

import { checkEach, connected, proxied, subscribed, unique, until } from "./support/clients.mjs";
import { token } from "./support/tokens.mjs";

checkEach("presence lists connections and counts users", async (t, variant) => {
  const channel = unique();
  const [first, second, third] = await Promise.all(["a", "a", "b"].map((user) => connected(t, variant, { user })));
  const sub = await subscribed(first, channel);
  await subscribed(second, channel);
  const info = { seat: "12A" };
  const last = await subscribed(third, channel, { token: token({ sub: "b", channel, info }) });

  const { clients } = await sub.presence();
  const ids = [first, second, third].map((client) => client.seen.connected[0].client);
  assert.deepEqual(new Set(Object.keys(clients)), new Set(ids));
  assert.equal(clients[ids[1]].user, "a");
  assert.equal(clients[ids[2]].user, "b");
  assert.deepEqual(variant.unpack(clients[ids[2]].connInfo), { name: "user b" });
  assert.deepEqual(variant.unpack(clients[ids[2]].chanInfo), info);
  assert.deepEqual(await sub.presenceStats(), { numClients: 3, numUsers: 2 });

  last.unsubscribe();
  second.disconnect();
  await until(() => sub.seen.leave.length === 2, "both leave");
  assert.deepEqual(await sub.presenceStats(), { numClients: 1, numUsers: 1 });
  assert.deepEqual(Object.keys((await sub.presence()).clients), [ids[0]]);
});

checkEach("presence is for those who are there", async (t, variant) => {
  const client = await connected(t, variant);
  await assert.rejects(client.presence(unique()), { code: 103 });
  await assert.rejects(client.presenceStats(unique()), { code: 103 });
});

checkEach("joins and leaves are pushed, the own join among them", async (t, variant) => {
  const channel = unique();
  const first = await connected(t, variant, { user: "a" });
  const sub = await subscribed(first, channel, { joinLeave: true });
  const { proxy, address } = await proxied(t);
  const second = await connected(t, variant, { user: "b", address });
  await subscribed(second, channel);
  await until(() => sub.seen.join.length === 2, "two joins");
  const ids = [first, second].map((client) => client.seen.connected[0].client);
  assert.deepEqual(sub.seen.join.map((one) => one.info.client), ids);
  assert.equal(sub.seen.join[1].info.user, "b");
  assert.deepEqual(variant.unpack(sub.seen.join[1].info.connInfo), { name: "user b" });

  proxy.cut();
  await until(() => sub.seen.leave.length === 1, "the one whose connection broke leaves");
  assert.equal(sub.seen.leave[0].info.client, ids[1]);
  proxy.mend();
  await until(() => sub.seen.join.length === 3, "and joins again");
  assert.notEqual(sub.seen.join[2].info.client, ids[1]);
});
