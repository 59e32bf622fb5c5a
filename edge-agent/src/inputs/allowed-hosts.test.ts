import { hasErrorCode } from "@autoglm/api";
import { describe, expect, test } from "vitest";
import { addressRefusal, hostRefusal, isPrivate, parseAllowedHosts } from "./allowed-hosts.ts";

const refusal = (list: string, address: string) => hostRefusal(new URL(address), parseAllowedHosts(list));

describe("hosts", () => {
  test.each<[list: string, address: string, isAllowed: boolean]>([
    ["", "https://example.com/a", false],
    ["example.com", "https://example.com/a", true],
    ["Example.com", "http://EXAMPLE.com./a", true],
    ["example.com", "https://example.com.evil.net/a", false],
    ["example.com", "https://a.example.com/a", false],
    ["*.example.com", "https://a.b.example.com/a", true],
    ["*.example.com", "https://example.com/a", false],
    ["*.example.com", "https://badexample.com/a", false],
    ["example.com", "https://example.com:8443/a", false],
    ["example.com:8443", "https://example.com:8443/a", true],
    ["example.com:8443", "https://example.com/a", false],
    ["example.com", "https://user:secret@example.com/a", false],
    ["example.com", "ftp://example.com/a", false],
    ["10.0.0.0/8, ::1", "http://10.1.2.3:9000/a", true],
    ["10.0.0.0/8, ::1", "http://[::1]/a", true],
    ["10.0.0.0/8", "http://11.1.2.3/a", false],
    ["10.0.0.0/8", "http://0xA010203/a", true],
    ["example.com", "http://2130706433/a", false],
    ["127.0.0.1", "http://[::ffff:127.0.0.1]/a", true],
    ["10.0.0.0/8", "http://[::ffff:127.0.0.1]/a", false],
  ])("%j and %s", (list, address, isAllowed) => {
    expect(refusal(list, address) === undefined).toBe(isAllowed);
  });

  test("a refusal names the option that mends it", () => {
    expect(refusal("", "https://example.com/a")).toContain("AUTOGLM_INPUT_HOSTS");
  });

  test.each([
    "http://x",
    "a b",
    "*",
    "-",
    "10.0.0.0/40",
    // Read as a prefix of 0 they would open every address.
    "10.1.2.3/",
    "10.1.2.3/ ,example.com",
    "10.1.2.3/8/",
    "10.1.2.3/8/8",
    "10.1.2.3/+8",
    "10.1.2.3/1e1",
    "10.1.2.3/0x8",
    "10.1.2.3/0008",
    "::1/129",
    "[::1]/",
    "[10.1.2.3",
    "10.1.2.3]",
    "[::1/128]",
    "[[::1]]",
    "fe80::1%eth0",
    // No address ever has such a host.
    "10.1.2",
    "10.1.2.256",
    "example.0x1f",
    "example.com:",
    "example.com:0443",
    "example.com:65536",
  ])("%j is no list", (list) => {
    expect(() => parseAllowedHosts(list)).toThrow(
      expect.toSatisfy((error: unknown) => hasErrorCode(error, "InvalidOption")),
    );
  });

  test.each([
    ["10.1.2.3:8080", "10.1.2.3"],
    ["[fd00::1]:8080", "[fd00::1]"],
    ["10.0.0.0/8:80", "10.0.0.0/8"],
  ])("%j names option, entry and mend: an address has no port", (list, mend) => {
    const message = `AUTOGLM_INPUT_HOSTS: ${list} is an address with a port; list ${mend} alone`;
    expect(() => parseAllowedHosts(`example.com, ${list}`)).toThrow(message);
  });

  test.each([
    ["[fd00::1]", "http://[fd00::1]:9000/a"],
    ["[fd00::]/8", "http://[fd12::1]/a"],
    ["10.1.2.3/32", "http://10.1.2.3/a"],
    ["0.0.0.0/0", "http://10.1.2.3/a"],
  ])("%j allows %s", (list, address) => {
    expect(refusal(list, address)).toBeUndefined();
  });
});

describe("addresses that a name points to", () => {
  test.each([
    "127.0.0.1",
    "10.0.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fd00::1",
    "::ffff:10.0.0.1",
    "::ffff:a00:1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
    "nonsense",
  ])("%s is private", (address) => {
    expect(isPrivate(address)).toBe(true);
    expect(addressRefusal(address, parseAllowedHosts("example.com, *.org"))).toContain("private");
  });

  test.each(["8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"])("%s is public", (address) => {
    expect(addressRefusal(address, parseAllowedHosts(""))).toBeUndefined();
  });

  test("a private one counts when it is listed by its number", () => {
    const allowed = parseAllowedHosts("files.local, 10.1.0.0/16, fd00::/8");
    expect(addressRefusal("10.1.2.3", allowed)).toBeUndefined();
    expect(addressRefusal("::ffff:10.1.2.3", allowed)).toBeUndefined();
    expect(addressRefusal("fd12::1", allowed)).toBeUndefined();
    expect(addressRefusal("10.2.0.1", allowed)).toBeDefined();
  });
});
