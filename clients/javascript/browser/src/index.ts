/** An item of an order. `price` is of one unit. */
export interface Content {
  id?: string | number;
  name?: string;
  price?: string | number;
  quantity?: number;
  group?: string | number;
  type?: string;
}

/** The parameters of a conversion: docs/reference/script.md. */
export interface ConversionParameters {
  conversion_id?: string | number;
  order_id?: string | number;
  transaction_id?: string | number;
  value?: string | number;
  currency?: string;
  email?: string;
  phone?: string;
  email_sha256?: string;
  phone_sha256?: string;
  contents?: readonly Content[];
  description?: string;
  search?: string;
  /** For value rules: the tax and shipping that `value` contains. X never gets these three. */
  tax?: string | number;
  shipping?: string | number;
  new_customer?: boolean;
  twclid?: string;
}

/** A purchase needs the order's number, so that X counts the page's and the server's copy once. */
export type PurchaseParameters = ConversionParameters &
  ({order_id: string | number} | {conversion_id: string | number} | {transaction_id: string | number});

/** Signals by the names of Google's Consent Mode; any word but `granted` is a denial. */
export type Consent = Readonly<Record<string, 'granted' | 'denied' | boolean | undefined>>;

/** Settings of the script: docs/reference/script.md. */
export interface ScriptSettings {
  source?: string;
  gateway?: string;
  consent?: 'required' | 'optional';
  opt_out?: 'suppress' | 'restrict' | 'send';
  pixel?: 'use' | 'load' | 'off';
  pixel_id?: string;
  pixel_url?: string;
  events?: Readonly<Record<string, string>>;
  phone?: readonly [string, string];
  cookie_days?: number;
  http_only?: boolean;
  beacon?: string;
}

/** What follows the name in a call. */
export type CallArguments<Name extends string> = Name extends 'consent'
  ? [consent: Consent]
  : Name extends 'config'
    ? [settings: ScriptSettings]
    : Name extends 'purchase'
      ? [parameters: PurchaseParameters]
      : [parameters?: ConversionParameters];

/**
 * `window.twite`: a name of one of the pixel's events, or `consent`, or `config`.
 *
 * Returns the conversion id, or nothing before the script accepts the call.
 */
export interface TwiteFunction {
  <Name extends string>(name: Name, ...rest: CallArguments<Name>): string | undefined;
  /** Calls that wait for the script. */
  q?: unknown[][];
}

declare global {
  interface Window {
    twite?: TwiteFunction;
  }
}

export interface LoadOptions {
  /** The script's address at your gateway, such as `https://t.shop.example/twite.js`. */
  src: string;
  /** The source of the conversions. */
  source: string;
  /** Passed on to the script element, for a Content Security Policy. */
  nonce?: string;
}

/**
 * Load the script once, and return `window.twite`. Calls before the script has loaded wait.
 *
 * In a server-rendered application, call it in the browser only.
 */
export function load({src, source, nonce}: LoadOptions): TwiteFunction {
  if (!/^(https?:)?\/\/|^\//.test(src)) {
    throw new TypeError("src: use the script's address, such as https://t.shop.example/twite.js");
  }
  if (window.twite) return window.twite;
  const queue: TwiteFunction = (...call: unknown[]) => {
    (queue.q ??= []).push(call);
    return undefined;
  };
  window.twite = queue;
  const script = document.createElement('script');
  script.async = true;
  if (nonce) script.nonce = nonce;
  script.src = `${src}?s=${encodeURIComponent(source)}`;
  document.head.append(script);
  // The script replaces `window.twite`.
  return (...call: unknown[]) => (window.twite as (...call: unknown[]) => string | undefined)(...call);
}
