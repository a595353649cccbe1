const Object = require('Object');
return Object.keys({ __proto__: { a: 1 } }).length > 0 || !!({}).__proto__;
