import { z } from "zod";
import { cel } from "../kinds/meta.ts";
import type { KindContract } from "../kinds/kinds.ts";
import { GROUP, VERSION } from "../names.ts";
import { toStructuralSchema, type StructuralSchema } from "./structural-schema.ts";

/** The part of apiextensions.k8s.io/v1 that our kinds use; a plain object, ready for YAML or JSON. */
export interface CustomResourceDefinition {
  readonly apiVersion: "apiextensions.k8s.io/v1";
  readonly kind: "CustomResourceDefinition";
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly group: string;
    readonly scope: "Namespaced" | "Cluster";
    readonly names: {
      readonly kind: string;
      readonly listKind: string;
      readonly plural: string;
      readonly singular: string;
      readonly shortNames: readonly string[];
      readonly categories: readonly string[];
    };
    readonly versions: readonly CustomResourceDefinitionVersion[];
  };
}

export interface CustomResourceDefinitionVersion {
  readonly name: string;
  readonly served: true;
  readonly storage: true;
  readonly subresources?: { readonly status: Readonly<Record<string, never>> };
  readonly selectableFields?: readonly { readonly jsonPath: string }[];
  readonly additionalPrinterColumns: KindContract["printerColumns"];
  readonly schema: { readonly openAPIV3Schema: StructuralSchema };
}

/** `kubectl get autoglm` lists the objects of all our kinds. */
const CATEGORY = "autoglm";

/** @throws AutoglmError `Internal` when a schema has no structural form */
export function toCustomResourceDefinition(contract: KindContract): CustomResourceDefinition {
  const { kind, plural, singular, shortName, scope, selectableFields, printerColumns } = contract;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular,
        shortNames: [shortName],
        categories: [CATEGORY],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          ...(contract.status !== undefined && { subresources: { status: {} } }),
          ...(selectableFields.length > 0 && {
            selectableFields: selectableFields.map((jsonPath) => ({ jsonPath })),
          }),
          additionalPrinterColumns: printerColumns,
          schema: { openAPIV3Schema: rootSchema(contract) },
        },
      ],
    },
  };
}

/** The API server checks apiVersion, kind and metadata itself; they stand here for `kubectl explain`. */
function rootSchema({ description, spec, status, rootRules }: KindContract): StructuralSchema {
  const root = z
    .object({ spec, ...(status !== undefined && { status: status.optional() }) })
    .describe(description);
  const { properties, ...schema } = toStructuralSchema(
    rootRules.length > 0 ? root.meta(cel(...rootRules)) : root,
  );
  return {
    ...schema,
    properties: {
      apiVersion: { description: "Group and version of the kind.", type: "string" },
      kind: { description: "Kind of the object.", type: "string" },
      metadata: { type: "object" },
      ...properties,
    },
  };
}
