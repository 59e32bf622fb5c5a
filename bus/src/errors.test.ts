import { AutoglmError } from "@autoglm/api";
import { errors } from "@nats-io/nats-core";
import { expect, it } from "vitest";
import { errorFromJetStream, errorFromNats } from "./errors.ts";
import { parsePosition } from "./stream-reader.ts";

it.each([
  [10077, 503, "ResultStoreFull"],
  [10047, 500, "ResultStoreFull"],
  [10023, 503, "ResultStoreFull"],
  [10002, 400, "ResultStoreFull"],
  [10164, 400, "BusUnavailable"],
  [10059, 404, "BusUnavailable"],
  [10039, 503, "BusUnavailable"],
  [10054, 400, "BusRefused"],
])("reads JetStream's error %i (%i) as %s", (errCode, code, expected) => {
  const error = errorFromJetStream("res.a", { err_code: errCode, code, description: "whatever" });
  expect(error.code).toBe(expected);
  expect(error.retry).toBe("backoff");
});

it.each([
  [new errors.NoRespondersError("res.a"), "BusUnavailable"],
  [new errors.RequestError("no", { cause: new errors.NoRespondersError("res.a") }), "BusUnavailable"],
  [new errors.TimeoutError(), "BusUnavailable"],
  [new errors.ClosedConnectionError(), "BusUnavailable"],
  [new Error("something new"), "BusUnavailable"],
  [new errors.AuthorizationError("no"), "BusRefused"],
  [
    new errors.RequestError("no", { cause: new errors.PermissionViolationError("no", "publish", "a") }),
    "BusRefused",
  ],
  [new errors.InvalidSubjectError("a b"), "Internal"],
  [new AutoglmError("OutboxFull", "as it is"), "OutboxFull"],
])("reads the client's %s as %s", (cause, expected) => {
  expect(errorFromNats("res.a", cause).code).toBe(expected);
});

it.each([
  ["$JS.ACK.RESULTS.reader-1.1.42.7.1700000000.3", { streamSequence: 42, consumerSequence: 7 }],
  ["$JS.ACK.hub.HASH.RESULTS.reader-1.1.42.7.1700000000.3.x", { streamSequence: 42, consumerSequence: 7 }],
  ["", undefined],
  ["_INBOX.x", undefined],
])("finds the position in %j", (reply, expected) => {
  expect(parsePosition(reply)).toEqual(expected);
});
