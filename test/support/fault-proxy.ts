/**
 * TCP proxy that breaks a link the ways networks do:
 *
 *   cut          both ends get a reset, new connections too, until `heal`
 *   blackhole    nothing moves and nothing is closed; `heal` lets the held bytes through, as TCP does
 *   loseAnswers  what the server sends is lost while requests pass; `heal` resets the links that lost bytes
 *   delayMs      one-way delay added in both directions, order kept
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  hasLostBytes: boolean;
}

type Fault = "none" | "cut" | "blackhole" | "loseAnswers";

export class FaultProxy {
  readonly port: number;
  delayMs = 0;
  /** Connections accepted so far. */
  accepted = 0;
  readonly #listener: Server;
  readonly #targetPort: number;
  readonly #links = new Set<Link>();
  #fault: Fault = "none";

  /** Listens on a free port of the loopback. */
  static async start(targetPort: number): Promise<FaultProxy> {
    const listener = createServer().listen(0, "127.0.0.1");
    await once(listener, "listening");
    const address = listener.address();
    if (typeof address !== "object" || address === null) throw new Error("no TCP address");
    return new FaultProxy(listener, address.port, targetPort);
  }

  private constructor(listener: Server, port: number, targetPort: number) {
    this.#listener = listener;
    this.port = port;
    this.#targetPort = targetPort;
    listener.on("connection", (client) => this.#accept(client));
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#links.size;
  }

  cut(): void {
    this.#fault = "cut";
    for (const link of this.#links) reset(link);
  }

  blackhole(): void {
    this.#fault = "blackhole";
    for (const { client, server } of this.#links) {
      client.pause();
      server.pause();
    }
  }

  loseAnswers(): void {
    this.#fault = "loseAnswers";
  }

  heal(): void {
    this.#fault = "none";
    for (const link of this.#links) {
      if (link.hasLostBytes) {
        reset(link);
        continue;
      }
      link.client.resume();
      link.server.resume();
    }
  }

  async stop(): Promise<void> {
    this.cut();
    this.#listener.close();
    await once(this.#listener, "close");
  }

  #accept(client: Socket): void {
    this.accepted++;
    if (this.#fault === "cut") {
      client.resetAndDestroy();
      return;
    }
    const server = connect(this.#targetPort, "127.0.0.1");
    const link: Link = { client, server, hasLostBytes: false };
    this.#links.add(link);
    this.#forward(link, client, server);
    this.#forward(link, server, client);
    if (this.#fault === "blackhole") {
      client.pause();
      server.pause();
    }
  }

  #forward(link: Link, from: Socket, to: Socket): void {
    let lastDueAt = 0;
    from.setNoDelay(true);
    from.on("data", (bytes) => {
      if (this.#fault === "loseAnswers" && from === link.server) {
        link.hasLostBytes = true;
        return;
      }
      const now = performance.now();
      lastDueAt = Math.max(lastDueAt, now + this.delayMs);
      if (lastDueAt > now) setTimeout(() => this.#write(from, to, bytes), lastDueAt - now);
      else this.#write(from, to, bytes);
    });
    // Both ends live and die together; an error is the network's answer and no fault of the test.
    from.on("error", () => to.destroy());
    from.on("close", () => {
      this.#links.delete(link);
      to.destroy();
    });
  }

  #write(from: Socket, to: Socket, bytes: Buffer): void {
    if (to.destroyed || to.write(bytes)) return;
    from.pause();
    to.once("drain", () => this.#fault !== "blackhole" && from.resume());
  }
}

function reset({ client, server }: Link): void {
  client.resetAndDestroy();
  server.resetAndDestroy();
}
