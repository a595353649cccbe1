import type {Fault, Receipt} from './types.js';

interface Indexed {
  index: number;
}

interface Response {
  receipt: string;
  accepted: number;
  duplicate_indexes?: number[];
  held_indexes?: number[];
  suppressed_reasons?: (Indexed & {reason: string})[];
  rejected: (Indexed & {errors: Fault[]})[];
  warnings?: (Indexed & {warnings: Fault[]})[];
}

export function emptyReceipt(): Receipt {
  return {
    receipts: [],
    accepted: 0,
    duplicates: new Set(),
    held: new Set(),
    suppressed: new Map(),
    rejected: new Map(),
    warnings: new Map(),
  };
}

/** Read a response with the status 202 or 422; undefined if it is not a gateway's. */
export function receiptOf(text: string): Receipt | undefined {
  let response: Response;
  try {
    response = JSON.parse(text) as Response;
  } catch {
    return undefined;
  }
  if (typeof response?.receipt !== 'string' || !Array.isArray(response.rejected)) return undefined;
  return {
    receipts: [response.receipt],
    accepted: response.accepted,
    duplicates: new Set(response.duplicate_indexes),
    held: new Set(response.held_indexes),
    suppressed: new Map(response.suppressed_reasons?.map((item) => [item.index, item.reason])),
    rejected: new Map(response.rejected.map((item) => [item.index, item.errors])),
    warnings: new Map(response.warnings?.map((item) => [item.index, item.warnings])),
  };
}

/** Read the errors of any other response. */
export function faultsOf(text: string): Fault[] {
  try {
    const {errors} = JSON.parse(text) as {errors?: Fault[]};
    return Array.isArray(errors) ? errors : [];
  } catch {
    return [];
  }
}

/** Add the verdicts of a request; `offset` is the index of its first conversion. */
export function join(whole: Receipt, part: Receipt, offset: number): void {
  whole.receipts.push(...part.receipts);
  whole.accepted += part.accepted;
  for (const index of part.duplicates) whole.duplicates.add(offset + index);
  for (const index of part.held) whole.held.add(offset + index);
  for (const [index, reason] of part.suppressed) whole.suppressed.set(offset + index, reason);
  for (const [index, faults] of part.rejected) whole.rejected.set(offset + index, faults);
  for (const [index, faults] of part.warnings) whole.warnings.set(offset + index, faults);
}
