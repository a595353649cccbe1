import {bodiesOf, encoded} from './encode.js';
import {
  ConversionRejectedError,
  GatewayUnavailableError,
  RequestRefusedError,
  TwiteError,
  WrongKeyError,
} from './errors.js';
import {emptyReceipt, faultsOf, join, receiptOf} from './receipt.js';
import type {Conversion, Receipt} from './types.js';

export * from './errors.js';
export type * from './types.js';

const VERSION = '0.1.0';
// The gateway stored nothing, or it is unknown: the same request may be sent again.
const RETRIED = new Set([408, 429, 500, 502, 503, 504]);
const FIRST_WAIT = 500;
const LONGEST_WAIT = 60_000;

export interface Options {
  /** Milliseconds for an attempt. */
  timeout?: number;
  /** The maximum number of attempts. */
  attempts?: number;
  /** The longest first pause between attempts, in milliseconds; it doubles. */
  firstWait?: number;
}

export interface SendOptions {
  /** The same key in a later call counts nothing twice. Default: a random one. */
  idempotencyKey?: string;
}

/**
 * Sends conversions to a gateway. `url` is its address, `key` a source key.
 *
 * After a timeout, a lost connection, 408, 429, 500 and 502 to 504 the same request follows, up to
 * `attempts` in all, after the time in `Retry-After` or an increasing time.
 */
export class Twite {
  readonly #endpoint: string;
  readonly #key: string;
  readonly #timeout: number;
  readonly #attempts: number;
  readonly #firstWait: number;

  constructor(url: string, key: string, options: Options = {}) {
    if (!/^https?:\/\/[^/\s?#@]+/.test(url)) {
      throw new TypeError("url: use the gateway's address, such as https://t.shop.example");
    }
    if (!/^[!-~]+$/.test(key)) {
      throw new TypeError("key: use the source's key, without blanks or line ends");
    }
    this.#endpoint = `${url.replace(/\/+$/, '')}/v1/conversions`;
    this.#key = key;
    this.#timeout = options.timeout ?? 10_000;
    this.#attempts = options.attempts ?? 5;
    this.#firstWait = options.firstWait ?? FIRST_WAIT;
    if (!(this.#attempts >= 1)) throw new TypeError('attempts: use at least 1');
  }

  /**
   * Send a conversion; resolve once it is on the gateway's disk.
   *
   * A duplicate or suppressed conversion is not an error. Throws ConversionRejectedError,
   * RequestRefusedError, GatewayUnavailableError; TypeError for a value that cannot be sent.
   */
  async send(conversion: Conversion, options: SendOptions = {}): Promise<Receipt> {
    const key = options.idempotencyKey ?? crypto.randomUUID();
    const receipt = await this.#request(encoded(conversion), key);
    if (receipt.rejected.size) throw new ConversionRejectedError(receipt);
    return receipt;
  }

  /**
   * Send conversions, 1,000 a request. Rejected ones are in the receipt.
   *
   * Throws RequestRefusedError and GatewayUnavailableError, with the receipt of the requests
   * before; TypeError, before any request, for a value that cannot be sent.
   */
  async sendMany(conversions: readonly Conversion[], options: SendOptions = {}): Promise<Receipt> {
    const key = options.idempotencyKey ?? crypto.randomUUID();
    const receipt = emptyReceipt();
    for (const [first, body] of bodiesOf(conversions)) {
      try {
        join(receipt, await this.#request(body, `${key}-${first}`), first);
      } catch (error) {
        if (error instanceof TwiteError) error.receipt = receipt;
        throw error;
      }
    }
    return receipt;
  }

  async #request(body: string, idempotencyKey: string): Promise<Receipt> {
    for (let attempt = 1; ; attempt += 1) {
      let reason: string;
      let retryAfter = 0;
      try {
        const response = await fetch(this.#endpoint, {
          method: 'POST',
          headers: {
            Authorization: `Bearer ${this.#key}`,
            'Content-Type': 'application/json',
            'Idempotency-Key': idempotencyKey,
            'User-Agent': `twite-client-node/${VERSION}`,
          },
          body,
          redirect: 'manual',
          signal: AbortSignal.timeout(this.#timeout),
        });
        const text = await response.text();
        const {status} = response;
        const receipt = status === 202 || status === 422 ? receiptOf(text) : undefined;
        if (receipt) return receipt;
        if (status === 401) throw new WrongKeyError(status, faultsOf(text));
        if (status !== 202 && status !== 422 && !RETRIED.has(status)) {
          throw new RequestRefusedError(status, faultsOf(text));
        }
        reason = `status ${status}`;
        retryAfter = secondsOf(response.headers.get('Retry-After'));
      } catch (error) {
        if (error instanceof TwiteError) throw error;
        // Its message could contain the address; the name says what happened.
        reason = error instanceof Error ? error.name : 'no answer';
      }
      if (attempt >= this.#attempts) {
        throw new GatewayUnavailableError(reason, attempt, idempotencyKey);
      }
      const longest = Math.min(this.#firstWait * 2 ** (attempt - 1), LONGEST_WAIT);
      // Clients that failed together come back apart.
      const wait = longest * (0.5 + Math.random() / 2);
      await new Promise((resolve) =>
        setTimeout(resolve, Math.max(wait, Math.min(retryAfter * 1000, LONGEST_WAIT))),
      );
    }
  }
}

function secondsOf(header: string | null): number {
  return header && /^\d{1,6}$/.test(header) ? Number(header) : 0;
}
