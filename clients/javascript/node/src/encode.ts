import type {Conversion} from './types.js';

// The gateway's limits: 1,000 conversions and 1 MiB a request. Some room is left for the envelope.
const MAX_CONVERSIONS = 1000;
const MAX_BYTES = 1_000_000;

/** Write a conversion as JSON. Throws TypeError for a value that JSON would change. */
export function encoded(conversion: Conversion): string {
  return JSON.stringify(conversion, function (this: unknown, key: string, value: unknown) {
    // JSON.stringify has already called toJSON, which turns an invalid date into null.
    const original = (this as Record<string, unknown>)[key];
    if (typeof value === 'bigint') return String(value);
    if (original instanceof Date && value === null) throw new TypeError(`${key}: an invalid date`);
    if (typeof value === 'number') {
      if (!Number.isFinite(value)) throw new TypeError(`${key}: not a number`);
      if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
        throw new TypeError(`${key}: pass integers above 2^53 as text`);
      }
    }
    return value;
  });
}

/** Yield bodies with all conversions, each with the index of its first one. */
export function* bodiesOf(conversions: readonly Conversion[]): Generator<[number, string]> {
  const parts = conversions.map(encoded);
  const bytes = new TextEncoder();
  let start = 0;
  while (start < parts.length) {
    let end = start;
    let size = 0;
    while (end < parts.length && end - start < MAX_CONVERSIONS) {
      size += bytes.encode(parts[end]).length + 1;
      if (end > start && size > MAX_BYTES) break;
      end += 1;
    }
    yield [start, `{"conversions":[${parts.slice(start, end).join(',')}]}`];
    start = end;
  }
}
