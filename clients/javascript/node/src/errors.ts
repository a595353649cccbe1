import type {Fault, Receipt} from './types.js';

/**
 * The gateway did not store what was passed. No text contains a key or a value of the conversion.
 *
 * `receipt` has the verdicts of earlier requests of the same call: `sendMany` sends 1,000
 * conversions a request.
 */
export class TwiteError extends Error {
  receipt: Receipt | undefined;
  override name = this.constructor.name;
}

/** The gateway refused the request; a retry would be refused, too. `status` is the HTTP status. */
export class RequestRefusedError extends TwiteError {
  constructor(readonly status: number, readonly faults: readonly Fault[]) {
    const texts = faults.map((fault) => fault.message).join('; ') || 'no reason given';
    super(`the gateway answered ${status}: ${texts}`);
  }
}

/** 401: the source key is missing or unknown. */
export class WrongKeyError extends RequestRefusedError {}

/** `send` only: the conversion is invalid. `faults` has each field with its error code. */
export class ConversionRejectedError extends TwiteError {
  readonly faults: readonly Fault[];

  constructor(receipt: Receipt) {
    const faults = receipt.rejected.get(0) ?? [];
    const texts = faults.map(({path, message}) => (path ? `${path}: ${message}` : message));
    super(`the conversion was rejected: ${texts.join('; ')}`);
    this.receipt = receipt;
    this.faults = faults;
  }
}

/**
 * All attempts failed. It is not known what was stored: a later call with the same
 * `idempotencyKey` counts nothing twice.
 */
export class GatewayUnavailableError extends TwiteError {
  constructor(reason: string, readonly attempts: number, readonly idempotencyKey: string) {
    super(`no success after ${attempts} attempts: ${reason}`);
  }
}
