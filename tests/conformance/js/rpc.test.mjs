// Calls and messages. With RPC=1 the server has `echo`, `refuse` (error 1234) and `wait` (300 ms), as app.py has.

import assert from "node:assert/strict";

import { check, checkEach, connected, newClient, range, subscribed, unique, until } from "./support/clients.mjs";

const skip = process.env.RPC === "1" ? false : "the server has no calls; set RPC=1 if it has";

checkEach("an unknown method is error 108", async (t, variant) => {
  const client = await connected(t, variant);
  await assert.rejects(client.rpc("unknown", variant.pack({})), { code: 108 });
});

checkEach("a call that was made before the connection was there is answered", async (t, variant) => {
  const client = newClient(t, variant);
  client.connect();
  await assert.rejects(client.rpc("unknown", variant.pack({})), { code: 108 });
});

checkEach("a message that nobody takes ends the connection for good: 3508", async (t, variant) => {
  const client = await connected(t, variant);
  await client.send(variant.pack({}));
  await until(() => client.state === "disconnected", "it is disconnected");
  assert.equal(client.seen.disconnected[0].code, 3508);
});

function checkCalls(name, body) {
  checkEach(name, (t, variant) => (skip ? t.skip(skip) : body(t, variant)));
}

checkCalls("a method gives back its result", async (t, variant) => {
  const client = await connected(t, variant);
  const sent = { text: "ü", list: [1, 2] };
  const { data } = await client.rpc("echo", variant.pack(sent));
  assert.deepEqual(variant.unpack(data), sent);
});

checkCalls("an error of the app has its code", async (t, variant) => {
  const client = await connected(t, variant);
  await assert.rejects(client.rpc("refuse", variant.pack({})), { code: 1234, message: "refused" });
});

checkCalls("a call that takes long holds up nothing else", async (t, variant) => {
  const client = await connected(t, variant);
  const order = [];
  const slow = client.rpc("wait", variant.pack({})).then(() => order.push("call"));
  await subscribed(client, unique());
  order.push("subscription");
  await slow;
  assert.deepEqual(order, ["subscription", "call"]);
});

check("more calls at once than a connection may have are error 111", async (t) => {
  if (skip) return t.skip(skip);
  const client = await connected(t);
  const calls = await Promise.allSettled(range(1, 17).map(() => client.rpc("wait", {})));
  assert.deepEqual(calls.slice(0, 16).map((one) => one.status), range(1, 16).map(() => "fulfilled"));
  assert.equal(calls[16].reason.code, 111);
});
