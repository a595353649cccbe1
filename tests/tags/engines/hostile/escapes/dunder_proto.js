const object = {};
object['__proto__'] = { polluted: true };
const from = require('JSON').parse('{"__proto__": {"polluted": true}}');
return object.polluted === true || from.polluted === true || ({}).polluted === true;
