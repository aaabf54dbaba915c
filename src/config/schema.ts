import { z } from 'zod';
import { AddressError, parseHostPort, parseListener, parseOrigins, parseUpstream } from './addresses.js';

/** Turns a string into what a parser makes of it; the parser's complaint becomes the issue. */
function parsedBy<T>(parse: (text: string) => T) {
  return z.string().transform((text, context): T => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof AddressError)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });
}

/** What may be written as a plain string or, with more to say, as a map with that string under `url`. */
function withUrl(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? value : { url: value };
}

const count = z.int().min(1);
const seconds = z.number().min(0).max(86_400);

const xmlLimits = z.strictObject({
  stanzaBytes: z.int().min(1_000).optional(),
  depth: z.int().min(4).max(1_000).optional(),
  attributes: z.int().min(8).max(10_000).optional(),
  children: z.int().min(8).max(100_000).optional(),
  namespaces: z.int().min(4).max(10_000).optional(),
});

const keepalive = z.strictObject({
  whitespace: seconds.optional(),
  ping: seconds.optional(),
  timeout: seconds.min(1).optional(),
});

const upstream = z.preprocess(
  withUrl,
  z.strictObject({
    url: parsedBy(parseUpstream),
    caFile: z.string().min(1).optional(),
    parallelConnects: z.int().min(1).max(1_000).optional(),
    limits: z
      .strictObject({
        stanzaBytes: z.int().min(10_000).optional(),
        depth: z.int().min(8).optional(),
      })
      .optional(),
  }),
);

const domain = z.strictObject({
  upstreams: z.array(upstream).min(1),
  certificate: z.strictObject({ certFile: z.string().min(1), keyFile: z.string().min(1) }).optional(),
  hold: z
    .strictObject({
      // Clients are told it, and the schema of XEP-0198 has it as an integer.
      seconds: z.int().min(0).max(86_400).optional(),
      stanzas: count.optional(),
      bytes: z.int().min(65_536).optional(),
    })
    .optional(),
  features: z
    .record(
      z.string(),
      z.union([z.boolean(), z.record(z.string(), z.unknown())], {
        error: 'must be true, false or a map of settings',
      }),
    )
    .optional(),
});

/** The shape of a configuration file. Every key is described in `config/full.yaml`. */
export const FILE_SCHEMA = z.strictObject({
  dataDir: z.string().min(1).optional(),
  admin: parsedBy(parseHostPort).optional(),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).optional(),
  listeners: z
    .array(
      z.preprocess(
        withUrl,
        z.strictObject({
          url: parsedBy(parseListener),
          origins: z.array(parsedBy((text) => parseOrigins([text]))).optional(),
          deflate: z.boolean().optional(),
        }),
      ),
    )
    .min(1)
    .optional(),
  domains: z.record(z.string(), domain).optional(),
  limits: z
    .strictObject({
      beforeAuth: xmlLimits.optional(),
      afterAuth: xmlLimits.optional(),
      fromServer: xmlLimits.optional(),
      unauthenticatedTime: seconds.min(1).optional(),
      // Node's own high-water mark: below it no queue is said to drain. Where a newer Node has a higher one, that is the least.
      queueBytes: z
        .int()
        .min(16_384)
        .max(64 * 1024 * 1024)
        .optional(),
      unauthenticatedConnections: count.optional(),
      unauthenticatedPerAddress: count.optional(),
    })
    .optional(),
  keepalive: z.strictObject({ client: keepalive.optional(), server: keepalive.optional() }).optional(),
});

export type FileSettings = z.infer<typeof FILE_SCHEMA>;

/** The keys that are known at a place of a schema, for "did you mean". */
export function knownKeys(path: readonly PropertyKey[], schema: z.ZodType = FILE_SCHEMA): readonly string[] {
  let at: z.ZodType | undefined = schema;
  for (const step of path) at = at === undefined ? undefined : inside(at, step);
  const plain = at === undefined ? undefined : unwrapped(at);
  return plain instanceof z.ZodObject ? Object.keys(plain.shape) : [];
}

function inside(type: z.ZodType, step: PropertyKey): z.ZodType | undefined {
  const plain = unwrapped(type);
  if (plain instanceof z.ZodObject) return asType(plain.shape[String(step)]);
  if (plain instanceof z.ZodArray) return asType(plain.element);
  if (plain instanceof z.ZodRecord) return asType(plain.valueType);
  return undefined;
}

function unwrapped(type: z.ZodType): z.ZodType | undefined {
  if (type instanceof z.ZodOptional || type instanceof z.ZodDefault) return unwrappedOnce(type.unwrap());
  if (type instanceof z.ZodPipe) return unwrappedOnce(type.out);
  return type;
}

function unwrappedOnce(type: unknown): z.ZodType | undefined {
  const plain = asType(type);
  return plain === undefined ? undefined : unwrapped(plain);
}

function asType(type: unknown): z.ZodType | undefined {
  return type instanceof z.ZodType ? type : undefined;
}
