const Promise = require('Promise');
const again = () => Promise.create((resolve) => resolve()).then(again);
again();
