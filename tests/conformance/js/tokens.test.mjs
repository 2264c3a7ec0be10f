// Tokens of connections and of subscriptions: wrong ones, expired ones, and new ones in time.

import assert from "node:assert/strict";
import { describe } from "node:test";

import {
  arrived,
  checkEach,
  connected,
  newClient,
  newSubscription,
  publish,
  subscribed,
  unique,
  until,
} from "./support/clients.mjs";
import { secondsFromNow, token } from "./support/tokens.mjs";

/** Return a function that hands out tokens, the first ones from the list, then the last one again and again. */
function giver(...make) {
  const give = async (context) => {
    give.calls.push(context);
    return make[Math.min(give.calls.length, make.length) - 1](context);
  };
  give.calls = [];
  return give;
}

const good = (context) => token({ sub: "42", exp: secondsFromNow(600), ...context });
const short = (context) => token({ sub: "42", exp: secondsFromNow(2), ...context });
const expired = (context) => token({ sub: "42", exp: secondsFromNow(-5), ...context });

// All at once, because most of their time is waiting.
describe("tokens", { concurrency: 25 }, () => {
  checkEach("a token that somebody else signed ends it for good: 3500", async (t, variant) => {
    const client = newClient(t, variant, { token: token({ sub: "42" }, "other") });
    client.connect();
    await until(() => client.state === "disconnected", "it is disconnected");
    assert.deepEqual(client.seen.disconnected, [{ code: 3500, reason: "invalid token" }]);
    assert.equal(client.seen.connected.length, 0);
  });

  checkEach("an expired token is error 109: the client asks for another and connects", async (t, variant) => {
    const getToken = giver(good);
    const client = newClient(t, variant, { getToken, token: expired() });
    client.connect();
    await client.ready(5_000);
    assert.equal(getToken.calls.length, 1);
    assert.equal(client.seen.error[0].error.code, 109);
  });

  checkEach("a token is renewed in time, and the connection lives on", async (t, variant) => {
    const getToken = giver(short, good);
    const client = await connected(t, variant, { getToken });
    const sub = await subscribed(client, unique());
    await until(() => getToken.calls.length === 2, "it asks for a new token");
    await new Promise((resolve) => setTimeout(resolve, 300));
    await publish(sub, variant, [1]);
    await arrived(sub, 1);
    assert.equal(client.seen.connected.length, 1);
    assert.equal(client.seen.disconnected.length, 0);
    assert.deepEqual(client.seen.error, []);
  });

  checkEach("a new token of another user ends it for good: 3500", async (t, variant) => {
    const getToken = giver(short, () => good({ sub: "43" }));
    const client = await connected(t, variant, { getToken });
    await until(() => client.state === "disconnected", "it is disconnected");
    assert.equal(client.seen.disconnected[0].code, 3500);
  });

  checkEach("who gets no new token leaves by itself", async (t, variant) => {
    const getToken = giver(short, () => {
      throw new variant.make.UnauthorizedError();
    });
    const client = await connected(t, variant, { getToken });
    await until(() => client.state === "disconnected", "it is disconnected");
    assert.equal(client.seen.disconnected[0].code, 1); // the SDK's own "unauthorized"
  });

  checkEach("a subscription token lets in, and is renewed in time", async (t, variant) => {
    const client = await connected(t, variant);
    const channel = unique();
    const getToken = giver(short, good);
    const sub = await subscribed(client, channel, { getToken });
    assert.equal(getToken.calls[0].channel, channel);
    await until(() => getToken.calls.length === 2, "it asks for a new token");
    await new Promise((resolve) => setTimeout(resolve, 300));
    await publish(sub, variant, [1]);
    await arrived(sub, 1);
    assert.equal(sub.seen.subscribed.length, 1);
    assert.deepEqual(sub.seen.error, []);
  });

  checkEach("a subscription token that somebody else signed is error 103", async (t, variant) => {
    const client = await connected(t, variant);
    const channel = unique();
    const sub = newSubscription(client, channel, { token: token({ sub: "42", channel }, "other") });
    sub.subscribe();
    await until(() => sub.state === "unsubscribed", "it is unsubscribed");
    assert.equal(sub.seen.unsubscribed[0].code, 103);
    assert.equal(client.state, "connected");
  });

  checkEach("an expired subscription token is error 109: the client asks for another", async (t, variant) => {
    const client = await connected(t, variant);
    const channel = unique();
    const getToken = giver(good);
    const sub = await subscribed(client, channel, { getToken, token: expired({ channel }) });
    assert.equal(getToken.calls.length, 1);
    assert.equal(sub.seen.error[0].error.code, 109);
  });

  for (const [what, claims] of [["channel", { channel: "another" }], ["user", { sub: "43" }]]) {
    checkEach(`a subscription token of another ${what} ends the connection for good: 3500`, async (t, variant) => {
      const client = await connected(t, variant);
      const channel = unique();
      newSubscription(client, channel, { token: token({ sub: "42", channel, ...claims }) }).subscribe();
      await until(() => client.state === "disconnected", "it is disconnected");
      assert.equal(client.seen.disconnected[0].code, 3500);
    });
  }
});
