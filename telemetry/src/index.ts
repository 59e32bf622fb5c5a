export {
  LOG_LEVELS,
  createLogger,
  type Log,
  type LogFields,
  type LogLevel,
  type LoggerOptions,
} from "./log.ts";
export { Metrics, type MetricDefinition, type MetricDefinitions, type MetricLabels } from "./metrics.ts";
export {
  startHealthServer,
  type HealthServer,
  type HealthServerOptions,
  type Readiness,
} from "./health-server.ts";
