return typeof Object !== 'undefined' || typeof Reflect !== 'undefined' || typeof Proxy !== 'undefined' ||
  typeof Function !== 'undefined' || typeof eval !== 'undefined' || typeof Symbol !== 'undefined';
