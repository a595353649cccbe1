const bound = ((...given) => given.join()).bind(undefined, 1, 2);
if (bound(3) !== '1,2,3' || bound.prototype !== undefined) return 'broken';
const self = function () { return this; }.bind(4);
return !!bound.constructor || self() !== 4;
