const callLater = require('callLater');
const again = () => callLater(again);
again();
