export { parseAllowedHosts, type AllowedHosts } from "./allowed-hosts.ts";
export { readHttp } from "./http-source.ts";
export { readObject, type ObjectStoreOptions } from "./object-store.ts";
