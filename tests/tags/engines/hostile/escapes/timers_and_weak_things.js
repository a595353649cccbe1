return [
  typeof WeakRef, typeof FinalizationRegistry, typeof queueMicrotask, typeof setTimeout, typeof Atomics,
  typeof SharedArrayBuffer, typeof performance, typeof navigator, typeof print, typeof console, typeof std,
  typeof os, typeof gc, typeof Intl, typeof escape, typeof Date, typeof Symbol, typeof String, typeof parseInt
].some((type) => type !== 'undefined');
