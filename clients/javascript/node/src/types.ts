/** An item of an order. `price` is of one unit; a string is exact. */
export interface Content {
  id?: string | number;
  name?: string;
  price?: string | number;
  quantity?: number;
  group?: string | number;
  type?: string;
}

/**
 * A conversion, in the gateway's native format.
 *
 * `conversion_id` is the order's id, the same as in the page. `time` defaults to now. Persons are in
 * plain text: the gateway hashes them in memory.
 */
export interface Conversion {
  event: string;
  conversion_id?: string | number | bigint;
  time?: Date | string;
  value?: string | number;
  currency?: string;
  email?: string;
  email_sha256?: string;
  phone?: string;
  phone_sha256?: string;
  twclid?: string;
  twpid?: string;
  ip?: string;
  user_agent?: string;
  url?: string;
  contents?: readonly Content[];
  description?: string;
  search?: string;
  consent?: Readonly<Record<string, string | boolean>>;
  pixel?: string;
  user_id?: string | number;
  visitor_id?: string | number;
  tax?: string | number;
  shipping?: string | number;
  new_customer?: boolean;
}

/** One fault of a conversion: the field, a code of docs/reference/error-codes.md, and a text. */
export interface Fault {
  path: string;
  code: string;
  message: string;
}

/**
 * The gateway's verdicts. Everything that is not in `rejected` is on the gateway's disk.
 *
 * The keys of the maps are indexes of the conversions that were passed. `receipts` are the gateway's
 * ids of the requests.
 */
export interface Receipt {
  receipts: string[];
  accepted: number;
  duplicates: Set<number>;
  held: Set<number>;
  suppressed: Map<number, string>;
  rejected: Map<number, Fault[]>;
  warnings: Map<number, Fault[]>;
}
