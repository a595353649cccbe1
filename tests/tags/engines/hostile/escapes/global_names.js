return typeof globalThis !== 'undefined' || typeof window !== 'undefined' || typeof global !== 'undefined';
