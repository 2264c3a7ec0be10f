// Pages of history.

import assert from "node:assert/strict";

import { checkEach, connected, publish, range, subscribed, unique } from "./support/clients.mjs";

const found = (page) => page.publications.map((one) => one.offset);

async function filled(t, variant, count) {
  const sub = await subscribed(await connected(t, variant), unique());
  await publish(sub, variant, range(1, count));
  return sub;
}

checkEach("pages forward and backward", async (t, variant) => {
  const sub = await filled(t, variant, 10);
  const top = await sub.history({ limit: 0 });
  assert.deepEqual([found(top), top.offset], [[], 10]);
  const { epoch } = top;
  assert.deepEqual(found(await sub.history({ limit: 3 })), [1, 2, 3]);
  assert.deepEqual(found(await sub.history({ limit: 3, reverse: true })), [10, 9, 8]);
  assert.deepEqual(found(await sub.history({ limit: 3, since: { offset: 4, epoch } })), [5, 6, 7]);
  assert.deepEqual(found(await sub.history({ limit: 3, since: { offset: 4, epoch }, reverse: true })), [3, 2, 1]);
  assert.deepEqual(found(await sub.history({ limit: -1, since: { offset: 7, epoch } })), [8, 9, 10]);
  assert.deepEqual(found(await sub.history({ limit: -1, since: { offset: 10, epoch } })), []);
});

checkEach("pages are put together without a hole", async (t, variant) => {
  const sub = await filled(t, variant, 25);
  const all = [];
  let page = await sub.history({ limit: 10 });
  while (page.publications.length) {
    all.push(...page.publications);
    page = await sub.history({ limit: 10, since: { offset: all.at(-1).offset, epoch: page.epoch } });
  }
  assert.deepEqual(all.map((one) => variant.unpack(one.data)), range(1, 25));
  assert.equal(all[0].info.user, "42");
});

checkEach("history holds as much as the server keeps", async (t, variant) => {
  const sub = await filled(t, variant, 105);
  const page = await sub.history({ limit: -1 });
  assert.deepEqual(found(page), range(6, 105));
  assert.equal(page.offset, 105);
});

checkEach("a position of another epoch is error 112", async (t, variant) => {
  const sub = await filled(t, variant, 1);
  await assert.rejects(sub.history({ limit: 1, since: { offset: 1, epoch: "other" } }), { code: 112 });
});

checkEach("history is for those who are subscribed", async (t, variant) => {
  const client = await connected(t, variant);
  await assert.rejects(client.history(unique(), { limit: 1 }), { code: 103 });
});
