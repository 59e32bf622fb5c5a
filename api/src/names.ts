/** API group and version of every kind. */
export const GROUP = "autoglm.io";
export const VERSION = "v1alpha1";
export const API_VERSION = `${GROUP}/${VERSION}`;

/** Keeps a task until its assignments are withdrawn and its results are forgotten. */
export const TASK_FINALIZER = `${GROUP}/results`;

/** Our own labels. */
export const LABEL_TIER = `${GROUP}/tier`;
export const LABEL_LOCATION = `${GROUP}/location`;

/** Labels and annotations of others: read, never written. */
export const LABEL_GFD_MEMORY_MIB = "nvidia.com/gpu.memory";
export const LABEL_GFD_REPLICAS = "nvidia.com/gpu.replicas";
export const LABEL_GFD_PRODUCT = "nvidia.com/gpu.product";
export const LABEL_OPENYURT_POOL = "apps.openyurt.io/nodepool";
export const LABEL_OPENYURT_EDGE_WORKER = "openyurt.io/is-edge-worker";
export const ANNOTATION_OPENYURT_AUTONOMY = "node.openyurt.io/autonomy-duration";
export const LABEL_INSTANCE_TYPE = "node.kubernetes.io/instance-type";

/** A node's id on the bus: one subject token, so no dots, spaces or wildcards. */
export const NODE_ID_PATTERN = "^[a-z0-9][a-z0-9-]{0,79}$";
