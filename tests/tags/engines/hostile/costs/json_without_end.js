const JSON = require('JSON');
const text = '[' + '1,'.repeat(500000) + '1]';
for (;;) JSON.parse(text);
