return require('JSON').parse('['.repeat(1000000));
