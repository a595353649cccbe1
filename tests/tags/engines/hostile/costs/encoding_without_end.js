const encode = require('encodeUriComponent');
const text = 'ä'.repeat(1000000);
for (;;) encode(text);
