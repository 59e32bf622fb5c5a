export { parseAllowedHosts, type AllowedHosts } from "./allowed-hosts.ts";
export { readHttp, shownAddress } from "./http-source.ts";
export { readObject, type ObjectStoreOptions } from "./object-store.ts";
