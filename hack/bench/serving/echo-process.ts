/** Answers every request with the same bytes and reads nothing of it but its length. Sends its port to the parent. */
import { createServer, type AddressInfo } from "node:net";

const BODY = "x".repeat(150);
const REPLY = Buffer.from(
  `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`,
);

const server = createServer({ noDelay: true }, (socket) => {
  let missing = 0;
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    if (missing === 0) {
      const headEnd = chunk.indexOf("\r\n\r\n");
      const length = /content-length: *(\d+)/i.exec(chunk.toString("latin1", 0, headEnd))?.[1];
      missing = headEnd + 4 + Number(length);
    }
    missing -= chunk.length;
    if (missing <= 0) {
      missing = 0;
      socket.write(REPLY);
    }
  });
});
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
process.on("disconnect", () => process.exit(0));
