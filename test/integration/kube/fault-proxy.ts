/**
 * Two proxies in front of a real API server. Neither knows anything of Kubernetes.
 *
 * FaultProxy speaks plain HTTP to the client and HTTPS to the server, so that it can answer in the server's place or
 * fall silent. CountingProxy passes bytes on, TLS and all, and counts the connections.
 */
import { createServer, type IncomingMessage, request as httpRequest, type ServerResponse } from "node:http";
import { request as httpsRequest } from "node:https";
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";

/** What to do with a request; undefined passes it on. */
export type Fault =
  | { readonly answer: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }
  /** Closes the client's connection without an answer. */
  | "reset"
  /** Passes the request on and the answer's beginning back, and then not another byte, for ever. */
  | "silence";

export class FaultProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Asked for every request. */
  fault: (path: string) => Fault | undefined = () => undefined;
  /** Paths that arrived, with their queries. */
  readonly seen: string[] = [];

  private constructor(upstream: string) {
    const server = createServer((request, response) => this.#serve(upstream, request, response));
    server.on("connection", (socket) => this.#keep(socket));
    this.#server = server;
  }

  static async start(upstream: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(upstream);
    await listen(proxy.#server);
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Cuts every connection, as a restart of a load balancer would. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(upstream: string, request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "/";
    this.seen.push(path);
    const fault = this.fault(path);
    if (fault === "reset") {
      request.socket.destroy();
      return;
    }
    if (typeof fault === "object") {
      response.writeHead(fault.answer, fault.headers);
      response.end(fault.body ?? "");
      return;
    }
    const url = new URL(path, upstream);
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    const options = {
      method: request.method,
      headers: request.headers,
      rejectUnauthorized: false,
      agent: false,
    };
    const outgoing = send(url, options, (incoming) => {
      response.writeHead(incoming.statusCode ?? 502, incoming.headers);
      response.flushHeaders();
      if (fault === "silence") incoming.resume();
      else incoming.pipe(response);
      incoming.on("error", () => response.destroy());
    });
    outgoing.on("error", () => response.destroy());
    response.on("close", () => outgoing.destroy());
    request.pipe(outgoing);
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
  }
}

export class CountingProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  connections = 0;

  private constructor(host: string, port: number) {
    this.#server = createTcpServer((client) => {
      this.connections += 1;
      const upstream = connect(port, host);
      for (const [socket, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.#sockets.add(socket);
        socket.on("error", () => other.destroy());
        socket.on("close", () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
  }

  static async start(upstream: string): Promise<CountingProxy> {
    const { hostname, port } = new URL(upstream);
    const proxy = new CountingProxy(hostname, Number(port));
    await listen(proxy.#server);
    return proxy;
  }

  /** https, since the TLS is the server's own. */
  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get open(): number {
    return this.#sockets.size / 2;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function listen(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
}
