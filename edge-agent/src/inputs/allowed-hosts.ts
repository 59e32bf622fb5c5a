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

/**
 * From a list such as `data.example.com, *.example.org, files.example.net:8443, 10.1.2.3, 192.168.0.0/16`.
 * @throws AutoglmError `InvalidOption`
 */
export function parseAllowedHosts(text: string): AllowedHosts {
  const names: { name: string; port?: string }[] = [];
  const addresses = new BlockList();
  for (const entry of text.split(",").map((one) => one.trim().toLowerCase())) {
    if (entry === "" || addAddress(addresses, entry)) continue;
    const [, name = "", port] = /^(.*?)(?::(\d{1,5}))?$/.exec(entry) ?? [];
    if (!NAME.test(name)) {
      throw new AutoglmError(
        "InvalidOption",
        `AUTOGLM_INPUT_HOSTS: ${entry} is no host; list names, *.names, addresses or ranges such as 10.0.0.0/8, with commas`,
      );
    }
    names.push({ name, ...(port !== undefined && { port }) });
  }
  return { text, names, addresses };
}

function addAddress(list: BlockList, entry: string): boolean {
  const [address = "", prefix] = entry.replaceAll(/[[\]]/g, "").split("/");
  const family = isIP(address);
  if (family === 0) return false;
  const type = family === 6 ? "ipv6" : "ipv4";
  const bits = Number(prefix ?? (family === 6 ? 128 : 32));
  if (!Number.isInteger(bits) || bits < 0 || bits > (family === 6 ? 128 : 32)) return false;
  list.addSubnet(address, bits, type);
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
