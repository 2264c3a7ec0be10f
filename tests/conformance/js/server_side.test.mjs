// The personal channel, which the server subscribes every user to.

import assert from "node:assert/strict";

import { checkEach, connected, proxied, publish, range, subscribed, unique, until } from "./support/clients.mjs";

checkEach("a user is subscribed to its own channel, and told who else is there", async (t, variant) => {
  const user = unique("user");
  const client = await connected(t, variant, { user });
  const channel = `#${user}`;
  assert.equal(client.seen.subscribed[0].channel, channel);
  assert.equal(client.seen.subscribed[0].recoverable, true);
  await until(() => client.seen.join.length === 1, "the own join");
  assert.equal(client.seen.join[0].info.client, client.seen.connected[0].client);

  const other = await connected(t, variant, { user });
  await until(() => client.seen.join.length === 2, "the join of the same user's other connection");
  assert.deepEqual(await client.presenceStats(channel), { numClients: 2, numUsers: 1 });

  await client.publish(channel, variant.pack({ hello: 1 }));
  for (const one of [client, other]) {
    await until(() => one.seen.publication.length === 1, "the publication");
    const [{ offset, channel: to, data }] = one.seen.publication;
    assert.deepEqual([offset, to, variant.unpack(data)], [1, channel, { hello: 1 }]);
  }
});

checkEach("it recovers what was published while the connection was cut", async (t, variant) => {
  const user = unique("user");
  const channel = `#${user}`;
  const { proxy, address } = await proxied(t);
  const client = await connected(t, variant, { user, address });
  const other = await connected(t, variant, { user });
  await other.publish(channel, variant.pack(1));
  await until(() => client.seen.publication.length === 1, "the first publication");
  proxy.cut();
  await until(() => client.state === "connecting", "the client notices");
  for (const value of range(2, 5)) await other.publish(channel, variant.pack(value));
  proxy.mend();
  await until(() => client.seen.subscribed.length === 2, "it is subscribed again");
  assert.equal(client.seen.subscribed[1].recovered, true);
  await other.publish(channel, variant.pack(6));
  await until(() => client.seen.publication.length === 6, "all publications");
  assert.deepEqual(client.seen.publication.map((one) => one.offset), range(1, 6));
});

checkEach("a client's own subscription beside it goes on as well", async (t, variant) => {
  const client = await connected(t, variant, { user: unique("user") });
  const sub = await subscribed(client, unique());
  await publish(sub, variant, [1]);
  await until(() => sub.seen.publication.length === 1, "the publication");
  assert.equal(client.seen.publication.length, 0);
});
