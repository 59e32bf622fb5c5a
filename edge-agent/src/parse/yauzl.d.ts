/** What of yauzl 3 is used here; it ships no types of its own, and those of @types/yauzl are of version 2. */
declare module "yauzl" {
  import type { Readable } from "node:stream";

  export interface Entry {
    readonly fileNameRaw: Buffer;
    readonly generalPurposeBitFlag: number;
    readonly compressedSize: number;
    readonly uncompressedSize: number;
    isEncrypted(): boolean;
    canDecodeFileData(): boolean;
  }

  export interface ZipFile {
    readonly entryCount: number;
    eachEntry(): AsyncIterable<Entry>;
    openReadStreamPromise(entry: Entry): Promise<Readable>;
    close(): void;
  }

  interface Options {
    readonly decodeStrings: false;
    readonly autoClose: false;
  }

  const yauzl: {
    fromFdPromise(fd: number, options: Options): Promise<ZipFile>;
    fromBufferPromise(buffer: Buffer, options: Options): Promise<ZipFile>;
    validateFileName(name: string): string | null;
  };
  export default yauzl;
}
