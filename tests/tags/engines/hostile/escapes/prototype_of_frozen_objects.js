// All frozen objects have the same prototype, which must not pass anything on.
const Object = require('Object');
const one = Object.freeze({a: 1});
const other = Object.freeze({});
const names = ['leak', 'toString', 'constructor', '__proto__', 'then', 'hasOwnProperty'];
names.forEach((name) => { one[name] = () => 'mine'; });
Object.delete(one, 'toString');
const reached = names.filter((name) => '' + other[name] !== '' + {}[name]);
const plain = {};
return reached.length > 0 || plain.leak !== undefined || '' + other === 'mine' || '' + plain === 'mine';
