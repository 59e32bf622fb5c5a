import { createAccount, createOperator, createUser, fromPublic, fromSeed } from "@nats-io/nkeys";
import * as fc from "fast-check";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { base32Decode, base32Encode, crc16, createSeed, Nkey, NodeKey, verifySignature } from "./nkeys.ts";

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
const bytes = (value: string) => new TextEncoder().encode(value);
const roles = [
  { role: "operator", create: createOperator },
  { role: "account", create: createAccount },
  { role: "user", create: createUser },
] as const;

describe("nkeys", () => {
  it.each(roles)("reads what NATS's own library wrote for an $role, and signs alike", ({ role, create }) => {
    const theirs = create();
    const ours = new Nkey(role, text(theirs.getSeed()));
    expect(ours.publicKey).toBe(theirs.getPublicKey());
    expect(Buffer.from(ours.sign(bytes("hello")))).toEqual(Buffer.from(theirs.sign(bytes("hello"))));
  });

  it.each(roles)("writes what NATS's own library reads for an $role", ({ role }) => {
    const ours = new Nkey(role, createSeed(role));
    expect(fromSeed(bytes(ours.seed)).getPublicKey()).toBe(ours.publicKey);
    expect(fromPublic(ours.publicKey).verify(bytes("hello"), ours.sign(bytes("hello")))).toBe(true);
  });

  it("refuses a text with one character changed", () => {
    const { seed, publicKey } = NodeKey.generate();
    const place = fc.record({
      at: fc.nat(55),
      by: fc.constantFrom(..."ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".split("")),
    });
    fc.assert(
      fc.property(place, ({ at, by }) => {
        const spoil = (whole: string) => whole.slice(0, at) + by + whole.slice(at + 1);
        fc.pre(seed[at] !== by && publicKey[at] !== by);
        expect(() => NodeKey.fromSeed(spoil(seed))).toThrow("not an nkey");
        expect(() => verifySignature("user", spoil(publicKey), bytes("x"), new Uint8Array(64))).toThrow(
          "not an nkey",
        );
      }),
    );
  });

  it.each([
    ["a seed of another role", () => NodeKey.fromSeed(createSeed("account"))],
    ["a public key", () => NodeKey.fromSeed(NodeKey.generate().publicKey)],
    ["nothing", () => NodeKey.fromSeed("")],
    ["small letters", () => NodeKey.fromSeed(createSeed("user").toLowerCase())],
  ])("refuses %s as a node's seed, and does not quote it", (_what, make) => {
    expect(make).toThrow(/^not an nkey of this kind: [a-z0-9 ]+$/);
  });

  it("does not show the seed to logs and JSON", () => {
    const key = NodeKey.generate();
    expect(`${inspect(key, { depth: 9, showHidden: true })} ${JSON.stringify(key)}`).not.toContain(key.seed);
  });
});

describe("encodings", () => {
  it("base32 gives back any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (raw) => {
        expect(new Uint8Array(base32Decode(base32Encode(raw)))).toEqual(raw);
      }),
    );
  });

  it("base32 agrees with RFC 4648", () => {
    expect(base32Encode(bytes("foobar"))).toBe("MZXW6YTBOI");
  });

  it("crc16 is CRC-16/XMODEM", () => {
    expect(crc16(bytes("123456789"))).toBe(0x31c3);
  });
});
