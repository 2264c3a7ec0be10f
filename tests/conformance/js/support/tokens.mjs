// JSON Web Tokens as the server of these tests accepts them: HS256, signed with "secret".

import { createHmac } from "node:crypto";

function encoded(value) {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** Return a token with these claims. */
export function token(claims, secret = "secret") {
  const signed = `${encoded({ alg: "HS256", typ: "JWT" })}.${encoded(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** Return Unix seconds, so many from now; whole ones, rounded up. */
export function secondsFromNow(seconds) {
  return Math.ceil(Date.now() / 1000 + seconds);
}
