import { decode, type User } from "@nats-io/jwt";
import { describe, expect, it } from "vitest";
import { decodeJwt } from "./jwt.ts";
import { createBusKeys, publicKeysOf } from "./keys.ts";
import { Nkey, NodeKey, verifySignature } from "./nkeys.ts";
import { natsServerConfig } from "./server-config.ts";
import { signNodeUser, signServiceUser } from "./users.ts";

const keys = createBusKeys();
const { publicKey } = NodeKey.generate();

describe("a node's token", () => {
  const expiresAt = new Date("2030-01-01T00:00:00Z");
  const jwt = signNodeUser(keys, { nodeId: "node-a", publicKey, expiresAt });

  it("reads in NATS's own library: scoped, for the account EDGE, until it expires", () => {
    const claims = decode<User>(jwt);
    expect(claims).toMatchObject({
      name: "node-a",
      sub: publicKey,
      iss: new Nkey("account", keys.edgeSigning).publicKey,
      exp: expiresAt.getTime() / 1000,
    });
    // Any permission or limit of its own would make the server refuse it under a scoped key.
    expect(claims.nats).toEqual({ type: "user", version: 2, issuer_account: publicKeysOf(keys).edge });
  });

  it("is signed by the scoped key", () => {
    const [header, claims, signature = ""] = jwt.split(".");
    const signed = Buffer.from(`${header}.${claims}`);
    const signer = new Nkey("account", keys.edgeSigning).publicKey;
    expect(verifySignature("account", signer, signed, Buffer.from(signature, "base64url"))).toBe(true);
  });
});

it("gives services tokens of the account CLOUD with nothing beyond their lists", () => {
  for (const role of ["operator", "ingester"] as const) {
    const { nats, name } = decodeJwt(signServiceUser(keys, role).jwt);
    expect(name).toBe(role);
    expect(nats["issuer_account"]).toBe(publicKeysOf(keys).cloud);
    expect(JSON.stringify(nats)).not.toMatch(/"(>|\$JS\.>|\$JS\.API\.>|\*)"/);
  }
});

it.each(["", "x", "a.b.c", "e30.e30.e30"])("refuses %j as a token", (text) => {
  expect(() => decodeJwt(text)).toThrow(expect.objectContaining({ code: "InvalidMessage" }));
});

describe("the server's configuration", () => {
  const options = { host: "127.0.0.1", port: 4222, storeDir: "/var/lib/nats data", jwtDir: "/jwt" };

  it("carries revocations in the claims of EDGE, in seconds", () => {
    const at = new Date("2026-05-01T00:00:00.900Z");
    const config = natsServerConfig(keys, { ...options, revocations: { [publicKey]: at } });
    const { edge } = publicKeysOf(keys);
    const claims = config.split("\n").find((line) => line.startsWith(`  ${edge}: `)) ?? "";
    expect(decodeJwt(claims.trim().slice(edge.length + 2)).nats["revocations"]).toEqual({
      [publicKey]: Date.parse("2026-05-01T00:00:00Z") / 1000,
    });
  });

  it("holds no seed", () => {
    const config = natsServerConfig(keys, { ...options, monitorPort: 8222, maxStoreBytes: 1 });
    for (const seed of Object.values(keys)) expect(config).not.toContain(seed);
    expect(config).toContain('store_dir: "/var/lib/nats data"');
  });
});
