/**
 * Which hosts a node may read inputs from.
 *
 * A task's author names an address, the node connects from inside its network: without a list, every user of the cluster
 * could read what only the node can reach. So nothing is allowed by default, and a name on the list opens public addresses
 * alone: a private one has to be listed by its number, because who owns a name decides where it points.
 */
import { BlockList, isIP } from "node:net";
import { AutoglmError } from "@autoglm/api";

export interface AllowedHosts {
  /** What the node was given, for messages. */
  readonly text: string;
  /** A name, with its port where only that one is meant; `*.` in front stands for names below it. */
  readonly names: readonly { readonly name: string; readonly port?: string }[];
  readonly addresses: BlockList;
}

const NAME = /^(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/;
/** An address reads such a name as a number, so no host ever has it. */
const ENDS_IN_NUMBER = /(^|\.)(\d+|0x[0-9a-f]*)$/;
/** An address, which may stand in brackets, and the bits of its prefix where it is a range. */
const RANGE = /^(?:\[([^[\]/]*)\]|([^[\]/]*))(?:\/(\d{1,3}))?$/;
/** As an address writes a port: "0443" would never be met. */
const PORT = /^[1-9]\d{0,4}$/;
const HIGHEST_PORT = 65_535;

/**
 * From a list such as `data.example.com, *.example.org, files.example.net:8443, 10.1.2.3, 192.168.0.0/16`.
 * @throws AutoglmError `InvalidOption`
 */
export function parseAllowedHosts(text: string): AllowedHosts {
  const names: { name: string; port?: string }[] = [];
  const addresses = new BlockList();
  for (const entry of text.split(",").map((one) => one.trim().toLowerCase())) {
    if (entry === "" || addAddress(addresses, entry)) continue;
    names.push(nameOf(entry));
  }
  return { text, names, addresses };
}

function nameOf(entry: string): { readonly name: string; readonly port?: string } {
  const [, name = "", port] = /^(.*?)(?::(\d*))?$/.exec(entry) ?? [];
  if (port !== undefined && addAddress(new BlockList(), name)) {
    throw invalid(`${entry} is an address with a port; list ${name} alone, which allows all its ports`);
  }
  if (!NAME.test(name) || ENDS_IN_NUMBER.test(name)) {
    throw invalid(
      `${entry} is no host; list names, *.names, addresses or ranges such as 10.0.0.0/8, with commas`,
    );
  }
  if (port === undefined) return { name };
  if (!PORT.test(port) || Number(port) > HIGHEST_PORT) {
    throw invalid(
      `${entry} has no port after its colon; write a number from 1 to ${HIGHEST_PORT}, or the name alone`,
    );
  }
  return { name, port };
}

const invalid = (problem: string) => new AutoglmError("InvalidOption", `AUTOGLM_INPUT_HOSTS: ${problem}`);

function addAddress(list: BlockList, entry: string): boolean {
  const [, inBrackets, plain = "", prefix] = RANGE.exec(entry) ?? [];
  const address = inBrackets ?? plain;
  const family = isIP(address);
  // A zone (fe80::1%eth0) names an interface of one machine.
  if (family === 0 || address.includes("%")) return false;
  const mostBits = family === 6 ? 128 : 32;
  const bits = prefix === undefined ? mostBits : Number(prefix);
  if (bits > mostBits) return false;
  list.addSubnet(address, bits, family === 6 ? "ipv6" : "ipv4");
  return true;
}

/** Why an address of a task is not read; undefined: its host is on the list. Where a name points is asked later. */
export function hostRefusal(url: URL, allowed: AllowedHosts): string | undefined {
  if (url.protocol !== "http:" && url.protocol !== "https:") return "only http and https addresses are read";
  if (url.username !== "" || url.password !== "") return "an address must not hold a user name or password";
  const host = plainHost(url);
  if (isIP(host) !== 0) return allows(allowed.addresses, host) ? undefined : notListed(host);
  const port = url.port === "" ? { "http:": "80", "https:": "443" }[url.protocol] : url.port;
  const isListed = allowed.names.some((entry) => {
    const fits = entry.name.startsWith("*.") ? host.endsWith(entry.name.slice(1)) : host === entry.name;
    return (
      fits &&
      (entry.port === undefined ? ["80", "443"].includes(port ?? "") || url.port === "" : entry.port === port)
    );
  });
  return isListed ? undefined : notListed(url.host);
}

/** Why a name must not be followed to this address; undefined: it may. */
export function addressRefusal(address: string, allowed: AllowedHosts): string | undefined {
  if (allows(allowed.addresses, address) || !isPrivate(address)) return undefined;
  return `it points to the private address ${address}, which has to be listed by its number in AUTOGLM_INPUT_HOSTS of the node`;
}

const plainHost = (url: URL) => url.hostname.replaceAll(/[[\]]/g, "").replace(/\.$/, "").toLowerCase();

const notListed = (host: string) =>
  `${host} is not allowed on the node; add it to AUTOGLM_INPUT_HOSTS there, or put the document on the node and use file`;

const allows = (list: BlockList, address: string) => {
  const plain = unmapped(address);
  return list.check(plain, isIP(plain) === 6 ? "ipv6" : "ipv4");
};

/** ::ffff:10.0.0.1 is 10.0.0.1. */
const unmapped = (address: string) => /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;

/** Loopback, links, private networks, documentation, multicast, and what translates to IPv4. */
const PRIVATE = new BlockList();
for (const range of [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/4",
  "240.0.0.0/4",
  "::/96",
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "2002::/16",
  "fc00::/7",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
]) {
  addAddress(PRIVATE, range);
}

export const isPrivate = (address: string): boolean => {
  const plain = unmapped(address);
  const family = isIP(plain);
  // A zone (fe80::1%eth0) names an interface of this machine.
  if (family === 0 || plain.includes("%")) return true;
  // What is left of ::ffff:0:0/96 is written in hexadecimal.
  if (/^::ffff:/i.test(plain)) return true;
  return PRIVATE.check(plain, family === 6 ? "ipv6" : "ipv4");
};
